/** What a SCSI outcome is to a block layer: an error number, and whether trying again may help. */
import { u16, u32, u64 } from '../../scsi/bytes.ts';
import { Sense, SenseKey } from '../../scsi/sense-spec.ts';
import { Status } from '../../scsi/status-spec.ts';

/** Errors of block requests, under their Linux numbers, which NBD has taken over. */
export const BlockError = {
  NONE: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOPNOTSUPP: 95,
  ESHUTDOWN: 108,
} as const;
export type BlockError = (typeof BlockError)[keyof typeof BlockError];

/** `AT_ONCE`: the condition was only news. `LATER`: it passes with time. */
export const Retry = { NO: 0, AT_ONCE: 1, LATER: 2 } as const;
export type Retry = (typeof Retry)[keyof typeof Retry];

export interface Verdict {
  readonly error: BlockError;
  readonly retry: Retry;
}

const verdict = (error: BlockError, retry: Retry = Retry.NO): Verdict => ({ error, retry });

const FAILED = verdict(BlockError.EIO);
const FORBIDDEN = verdict(BlockError.EPERM);
const REFUSED = verdict(BlockError.EINVAL);
const FULL = verdict(BlockError.ENOSPC);
const NEWS = verdict(BlockError.EIO, Retry.AT_ONCE);
const PASSING = verdict(BlockError.EIO, Retry.LATER);

/** NOT READY conditions that end by themselves. */
const PASSING_CODES: ReadonlySet<number> = new Set([
  Sense.BECOMING_READY.code,
  Sense.ASYMMETRIC_ACCESS_STATE_TRANSITION.code,
]);

const DESCRIPTOR_FORMAT = 0x72;
/** Bytes before the descriptors, which is also what the fixed format has at least up to its INFORMATION. */
const FIXED_HEADER = 8;
const VALID = 0x80;
/** DESCRIPTOR TYPE 00h and ADDITIONAL LENGTH 0Ah. */
const INFORMATION_DESCRIPTOR = 0x000a;

/** The verdict on any status but GOOD and CONDITION MET; `sense` is empty without CHECK CONDITION. */
export function judge(status: Status, sense: Uint8Array): Verdict {
  switch (status) {
    case Status.CHECK_CONDITION:
      return judgeSense(sense);
    // Whoever holds the reservation decides who may write; asking again would not change that.
    case Status.RESERVATION_CONFLICT:
      return FORBIDDEN;
    case Status.BUSY:
    case Status.TASK_SET_FULL:
    case Status.ACA_ACTIVE:
      return PASSING;
    // Another initiator reset the unit.
    case Status.TASK_ABORTED:
      return NEWS;
    default:
      return FAILED;
  }
}

/** The INFORMATION field (SPC-4 4.5): the LBA of a block that could not be read or written. Undefined when not given. */
export function informationOf(sense: Uint8Array): number | undefined {
  if (sense.length < FIXED_HEADER) return undefined;
  if ((sense[0] & 0x7f) < DESCRIPTOR_FORMAT) return (sense[0] & VALID) === 0 ? undefined : u32(sense, 3);
  for (let at = FIXED_HEADER; at + 12 <= sense.length; at += 2 + sense[at + 1]) {
    if (u16(sense, at) === INFORMATION_DESCRIPTOR && (sense[at + 2] & VALID) !== 0) return u64(sense, at + 4);
  }
  return undefined;
}

function judgeSense(sense: Uint8Array): Verdict {
  const descriptors = (sense[0] & 0x7f) >= DESCRIPTOR_FORMAT;
  const key = sense[descriptors ? 1 : 2] & 0x0f;
  const at = descriptors ? 2 : 12;
  const code = (sense[at] << 8) | sense[at + 1];
  switch (key) {
    case SenseKey.NO_SENSE:
    case SenseKey.UNIT_ATTENTION:
      return NEWS;
    case SenseKey.NOT_READY:
      return PASSING_CODES.has(code) ? PASSING : FAILED;
    case SenseKey.ILLEGAL_REQUEST:
      return REFUSED;
    case SenseKey.DATA_PROTECT:
      return code === Sense.SPACE_ALLOCATION_FAILED_WRITE_PROTECT.code ? FULL : FORBIDDEN;
    default:
      return FAILED;
  }
}
