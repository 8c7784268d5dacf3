/**
 * Saved state that cannot be read. Starting without it could let two initiators write where one of them holds a
 * reservation, so the owner of the disk has to decide: this error reaches whoever makes the logical unit.
 */
export class DamagedStateError extends Error {
  readonly code = 'LUNPORT_DAMAGED_STATE';
  /** The entry of the state store. */
  readonly entry: string;
  /** What is wrong with it. */
  readonly reason: string;

  constructor(entry: string, reason: string, options?: ErrorOptions) {
    super(`The saved state '${entry}' is damaged: ${reason}`, options);
    this.name = 'DamagedStateError';
    this.entry = entry;
    this.reason = reason;
  }
}
