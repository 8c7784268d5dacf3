/** Durable state of a logical unit: reservations, saved mode pages. The process around the core keeps the bytes. */
export interface StateStore {
  /** What `save` last stored under `name`; undefined when nothing was. */
  load(name: string): string | undefined;
  /** Resolves when `text` is on stable storage: power loss at any byte leaves the old or the new text. */
  save(name: string, text: string): Promise<void>;
}
