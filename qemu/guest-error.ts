/** What went wrong, for programs. The message, detail and hint are for people. */
export type GuestErrorCode =
  /** A program that is needed here is not installed. */
  | 'PROGRAM_MISSING'
  /** A program that builds a guest ended with an error. */
  | 'BUILD_FAILED'
  /** An option contradicts another, or names what does not exist. */
  | 'BAD_OPTION'
  /** QEMU ended although the guest was still wanted: it crashed, was killed, or the guest reset itself. */
  | 'QEMU_ENDED'
  /** The guest never said hello. */
  | 'BOOT_TIMEOUT'
  /** A job, or a run as a whole, took too long. */
  | 'JOB_TIMEOUT'
  /** `lunport serve` did not start, or did not end as it should. */
  | 'BACK_END_FAILED'
  /** The job ran, but did not do what it was for. */
  | 'JOB_FAILED'
  /** QEMU answered a QMP command with an error. */
  | 'QMP_FAILED'
  /** The caller's AbortSignal, or kill(). */
  | 'STOPPED';

export interface GuestErrorParts {
  /** The last words of whoever failed: console or standard error. */
  readonly detail?: string;
  /** What to do about it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Every failure of this folder. `message` already contains detail and hint, so that printing it is enough. */
export class GuestError extends Error {
  readonly code: GuestErrorCode;
  readonly detail: string;
  readonly hint: string;

  constructor(code: GuestErrorCode, summary: string, parts: GuestErrorParts = {}) {
    const detail = parts.detail?.trimEnd() ?? '';
    const hint = parts.hint ?? '';
    const lines = [summary];
    if (detail !== '') lines.push(detail.replace(/^/gm, '  | '));
    if (hint !== '') lines.push(`hint: ${hint}`);
    super(lines.join('\n'), { cause: parts.cause });
    this.name = 'GuestError';
    this.code = code;
    this.detail = detail;
    this.hint = hint;
  }
}
