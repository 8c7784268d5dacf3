/** How a command must end, and what the parts of the disk model share. */
import type { SenseCode } from '../../../src/scsi/sense-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';

export const NEXUSES = 3;

export interface Expected {
  readonly status: Status;
  readonly sense?: SenseCode;
  /** INFORMATION of the sense data. */
  readonly information?: number;
  /** Data-in, where it is the model's business; fields may be left out by `look`. */
  readonly data?: Uint8Array;
}

export const GOOD: Expected = { status: Status.GOOD };
export const CONFLICT: Expected = { status: Status.RESERVATION_CONFLICT };
export const fails = (sense: SenseCode, information?: number): Expected => ({
  status: Status.CHECK_CONDITION,
  sense,
  ...(information === undefined ? {} : { information }),
});

/**
 * Who is kept out by a reservation of somebody else: nobody; those whom an exclusive access type excludes; those
 * whom any type excludes; `legacy`, only those whom RESERVE excludes; or the command decides itself.
 */
export type Access = 'free' | 'read' | 'write' | 'legacy' | 'own';

export function everybody(): number[] {
  return Array.from({ length: NEXUSES }, (_, who) => who);
}

export function others(who: number): number[] {
  return everybody().filter((other) => other !== who);
}
