/** FORMAT UNIT (SBC-3 5.3). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u16, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { ErasureJob } from '../medium-erasure.ts';
import type { ProtectionType } from '../protection-information.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { CONTROL, reserved } from './usage.ts';

/** Byte 1. DEFECT LIST FORMAT and CMPLST mean nothing for the empty defect lists that are accepted. */
const FMTPINFO_SHIFT = 6;
const LONGLIST = 0x20;
const FMTDATA = 0x10;
const FLAGS = 0xff;

/*
 * Parameter list header (SBC-3 tables 39, 40), short and long:
 *   0  PROTECTION FIELD USAGE (3 bits)   1  FOV, DPRY, DCRT, STPF, IP, obsolete, IMMED, vendor specific
 *   short: 2  DEFECT LIST LENGTH (2)
 *   long:  2  reserved (1)   3  P_I_INFORMATION, PROTECTION INTERVAL EXPONENT   4  DEFECT LIST LENGTH (4)
 * then, with IP, the initialization pattern descriptor (table 42):
 *   0  obsolete and SI   1  INITIALIZATION PATTERN TYPE   2  INITIALIZATION PATTERN LENGTH (2)   4  the pattern
 */
const SHORT_HEADER_LENGTH = 4;
const LONG_HEADER_LENGTH = 8;
const FIELD_USAGE = 0x07;
const FOV = 0x80;
const DPRY_DCRT_STPF = 0x70;
const IP = 0x08;
const IMMED = 0x02;
const PATTERN_HEADER_LENGTH = 4;
const PatternType = { DEFAULT: 0x00, REPEATED: 0x01 } as const;

/** By FMTPINFO, then by PROTECTION FIELD USAGE (SBC-3 table 38). */
const PROTECTION_TYPES: readonly (readonly ProtectionType[])[] = [[0], [], [1], [2, 3]];

interface Format {
  readonly protectionType: ProtectionType;
  readonly immediate: boolean;
  /** Content of every block; undefined: unmapped, or zeroes. */
  readonly block: Uint8Array | undefined;
}

function formatUnit(task: Task): void {
  const device = blockDeviceOf(task);
  const { erasure, notReady } = device;
  // What failed before may be tried again; what is under way or switched off may not be formatted.
  if (notReady !== undefined && erasure.failed?.command !== 'FORMAT UNIT') {
    const { sense, progress } = notReady;
    return task.fail(sense, progress === undefined ? {} : { progress });
  }
  const flags = task.cdb[1];
  const information = flags >> FMTPINFO_SHIFT;
  const types = PROTECTION_TYPES[information];
  if (types.length === 0 || (information !== 0 && !device.protection.supported))
    return task.failCdbField(1, 7);
  if ((flags & FMTDATA) === 0) {
    if ((flags & LONGLIST) !== 0) return task.failCdbField(1, 5);
    return start(task, device, { immediate: false, block: undefined, protectionType: types[0] });
  }
  const format = parse(task, device, (flags & LONGLIST) !== 0, types);
  if (format !== undefined) start(task, device, format);
}

function start(task: Task, device: BlockDevice, { immediate, block, protectionType }: Format): void {
  const job: ErasureJob = {
    command: 'FORMAT UNIT',
    passes: [block],
    unrestrictedExit: false,
    protectionType,
  };
  device.erasure.start(task, job, immediate);
}

/** Reads the parameter list; undefined when the task has ended. */
function parse(
  task: Task,
  device: BlockDevice,
  long: boolean,
  types: readonly ProtectionType[],
): Format | undefined {
  // FORMAT UNIT names no length: the list is as long as its own fields say.
  const header = long ? LONG_HEADER_LENGTH : SHORT_HEADER_LENGTH;
  const longest = header + PATTERN_HEADER_LENGTH + device.blockSize;
  const list = new Uint8Array(Math.min(task.dataOut.byteLength, longest));
  task.transferLength = list.length;
  task.transferred = task.copyFromInitiator(list, 0, list.length, 0);
  if (list.length < header) {
    task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
    return undefined;
  }
  const options = list[1];
  const refuse = (byte: number, bit?: number): undefined => {
    task.failParameterField(byte, bit);
    return undefined;
  };
  const protectionType = types[list[0] & FIELD_USAGE];
  if (protectionType === undefined) return refuse(0, 2);
  if ((options & FOV) === 0 && (options & (DPRY_DCRT_STPF | IP)) !== 0) return refuse(1, 7);
  if (long && list[3] !== 0) return refuse(3);
  // The medium's own defects are somebody else's business: there is nothing to put on a list.
  if ((long ? u32(list, 4) : u16(list, 2)) !== 0) return refuse(long ? 4 : 2);
  const immediate = (options & IMMED) !== 0;
  const format = { immediate, block: undefined, protectionType };
  return (options & IP) === 0 ? format : parsePattern(task, device, list, header, format);
}

function parsePattern(
  task: Task,
  device: BlockDevice,
  list: Uint8Array,
  at: number,
  format: Format,
): Format | undefined {
  const pattern = at + PATTERN_HEADER_LENGTH;
  const length = list.length < pattern ? 0 : u16(list, at + 2);
  if (list.length < pattern + length) {
    task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  } else if (list[at] !== 0) {
    task.failParameterField(at);
  } else if (list[at + 1] === PatternType.DEFAULT && length === 0) {
    return format;
  } else if (list[at + 1] !== PatternType.REPEATED) {
    task.failParameterField(at + 1);
  } else if (length === 0 || length > device.blockSize) {
    task.failParameterField(at + 2);
  } else {
    const block = Uint8Array.from({ length: device.blockSize }, (_, i) => list[pattern + (i % length)]);
    return { ...format, block };
  }
  return undefined;
}

export const formatUnitCommands: readonly CommandRow[] = [
  {
    name: 'FORMAT UNIT',
    opcode: 0x04,
    cdbLength: 6,
    usage: [0x04, FLAGS, ...reserved(3), CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'active',
    unitAttention: 'report',
    needsReady: false,
    writes: true,
    timeout: 0xffff,
    standard: 'SBC-3 5.3',
    handler: formatUnit,
  },
];
