/** One request of the transmission phase, pooled: its fields as they came, its buffer, and what it may ask for. */
import type { Scratch } from '../../scsi/environment.ts';
import { BlockError } from '../loopback/block-error.ts';
import type { BlockRequest } from '../loopback/block-request.ts';
import type { NbdExport } from './nbd-export.ts';
import { Command, CommandFlag, MAX_PAYLOAD, NbdError, Request } from './nbd-spec.ts';

export class NbdCommand {
  type: number = Command.READ;
  flags = 0;
  cookieHigh = 0;
  cookieLow = 0;
  /** Bytes; from 2^53 on inexact, but then past the end of any disk. */
  offset = 0;
  /** The same as it came: extended replies repeat it to the bit. */
  offsetHigh = 0;
  offsetLow = 0;
  length = 0;
  /** Bytes of payload that follow the header. */
  payload = 0;
  /** Data to write, or that was read. */
  buffer: Scratch | undefined = undefined;
  /** While the disk works on it. */
  running: BlockRequest | undefined = undefined;
  /** Called when its answer is the kernel's, or never will be. */
  readonly answered: () => void;

  constructor(answered: (command: NbdCommand) => void) {
    this.answered = () => answered(this);
  }

  /** Takes the fields of a header; its magic number is checked already. */
  parse(header: Buffer, extended: boolean): void {
    this.flags = header.readUInt16BE(Request.FLAGS);
    this.type = header.readUInt16BE(Request.TYPE);
    this.cookieHigh = header.readUInt32BE(Request.COOKIE);
    this.cookieLow = header.readUInt32BE(Request.COOKIE + 4);
    this.offset = read64(header, Request.OFFSET);
    this.offsetHigh = header.readUInt32BE(Request.OFFSET);
    this.offsetLow = header.readUInt32BE(Request.OFFSET + 4);
    this.length = extended ? read64(header, Request.LENGTH) : header.readUInt32BE(Request.LENGTH);
    // A WRITE with extended headers has to say PAYLOAD_LEN; one that does not has its payload with it all the same,
    // as QEMU sees it too: taken for requests, that data would be somebody else's words in this client's mouth.
    const hasPayload =
      this.type === Command.WRITE || (extended && (this.flags & CommandFlag.PAYLOAD_LEN) !== 0);
    this.payload = hasPayload ? this.length : 0;
  }
}

/** Flags that a command may carry besides FUA, which is never wrong (proto.md, NBD_CMD_FLAG_FUA). */
const FLAGS: Readonly<Record<number, number>> = {
  [Command.READ]: CommandFlag.DF,
  [Command.WRITE]: CommandFlag.PAYLOAD_LEN,
  [Command.FLUSH]: 0,
  [Command.TRIM]: 0,
  [Command.CACHE]: 0,
  [Command.WRITE_ZEROES]: CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO,
  [Command.BLOCK_STATUS]: CommandFlag.REQ_ONE,
};

const WRITING: ReadonlySet<number> = new Set([Command.WRITE, Command.TRIM, Command.WRITE_ZEROES]);
/** What needs room at the place that it names (proto.md, error values). */
const FILLING: ReadonlySet<number> = new Set([Command.WRITE, Command.WRITE_ZEROES]);

export interface Agreed {
  readonly structured: boolean;
  readonly extended: boolean;
  readonly allocationContext: boolean;
}

/** The error that `command` deserves before it reaches the disk, or 0. */
export function refusal(command: NbdCommand, served: NbdExport, agreed: Agreed): number {
  const { type, flags, offset, length } = command;
  const { blockSize, byteLength, readOnly, unmap } = served.device.geometry;
  const known = FLAGS[type];
  if (known === undefined || (flags & ~known & ~CommandFlag.FUA) !== 0) return BlockError.EINVAL;
  if ((flags & CommandFlag.DF) !== 0 && !agreed.structured) return BlockError.EINVAL;
  if ((flags & CommandFlag.PAYLOAD_LEN) !== 0 && !agreed.extended) return BlockError.EINVAL;
  if (type === Command.FLUSH) return offset === 0 && length === 0 ? 0 : BlockError.EINVAL;
  if (WRITING.has(type) && readOnly) return BlockError.EPERM;
  // Not offered then; ENOTSUP is for FAST_ZERO alone.
  if (type === Command.TRIM && !unmap) return BlockError.EINVAL;
  if (type === Command.BLOCK_STATUS && !agreed.allocationContext) return BlockError.EINVAL;
  if (length === 0 || offset % blockSize !== 0 || length % blockSize !== 0) return BlockError.EINVAL;
  if ((type === Command.READ || type === Command.WRITE) && length > MAX_PAYLOAD) return BlockError.EINVAL;
  if (offset + length > byteLength) return FILLING.has(type) ? BlockError.ENOSPC : BlockError.EINVAL;
  if ((flags & CommandFlag.FAST_ZERO) !== 0 && !zeroesFast(command, served)) return NbdError.ENOTSUP;
  return 0;
}

/** Only giving space back is known to be faster than writing. */
function zeroesFast({ flags }: NbdCommand, { device }: NbdExport): boolean {
  return (flags & CommandFlag.NO_HOLE) === 0 && device.canZeroByUnmapping;
}

function read64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}
