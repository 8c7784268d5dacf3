/** WRITE USING TOKEN (SBC-4 5.59): blocks for which a token stands, or zeroes, to the ranges of a unit. */
import type { BlockDevice } from '../block-device.ts';
import { u32 } from '../bytes.ts';
import type { Scratch } from '../environment.ts';
import { Medium, type Verdict } from '../medium.ts';
import type { Nexus } from '../nexus.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { copyUnseen, PIECE, readLocked, UNSEEN_PIECE, writeLocked } from './block-copy.ts';
import { refusalOf } from './cscd.ts';
import { RodType, Token } from './rod-token-spec.ts';
import type { RodToken } from './rod-tokens.ts';
import type { WriteRequest } from './token-list.ts';

/** Where the data come from: a token of some unit, or nowhere. */
export type TokenSource = RodToken | 'zeroes';

const POINTS_IN_TIME: ReadonlySet<number> = new Set([
  RodType.POINT_IN_TIME_DEFAULT,
  RodType.POINT_IN_TIME_CHANGE_VULNERABLE,
]);

/**
 * What a token means to this nexus. Tokens of units that it cannot see or may not read are as unknown as those
 * that never were: holding a token gives nobody more than he could READ.
 */
export function findToken(nexus: Nexus, bytes: Uint8Array): TokenSource | SenseCode {
  const type = u32(bytes, Token.TYPE);
  if (type === RodType.ZERO) return 'zeroes';
  if (!POINTS_IN_TIME.has(type)) return Sense.UNSUPPORTED_TOKEN_TYPE;
  for (const itl of nexus.itlNexuses()) {
    if (itl.logicalUnit.deviceType !== 0) continue;
    const device = itl.logicalUnit as BlockDevice;
    const token = device.tokens.find(bytes);
    if (token === undefined || refusalOf({ device, itl }, 'read') !== undefined) continue;
    return token.ended ?? token;
  }
  return Sense.TOKEN_UNKNOWN;
}

/** Copies for one command. */
export class TokenCopy {
  private readonly request: WriteRequest;
  private readonly task: Task;
  private readonly writer: Medium;

  constructor(task: Task, destination: BlockDevice, request: WriteRequest) {
    this.request = request;
    this.task = task;
    this.writer = new Medium(destination, task);
  }

  /** `progress` is called with the bytes of each piece that was written. */
  async run(
    source: TokenSource,
    task: Task,
    progress: (bytes: number) => void,
  ): Promise<Verdict | undefined> {
    if (source === 'zeroes') return this.zero(progress);
    const reader = new TokenReader(source, task);
    try {
      return await this.copy(reader, source.byteLength, progress);
    } finally {
      reader.close();
      this.writer.releaseScratch();
    }
  }

  private async zero(progress: (bytes: number) => void): Promise<Verdict | undefined> {
    const { device } = this.writer;
    try {
      for (const { lba, blocks } of this.request.ranges) {
        const lock = await device.rangeLocks.acquire(lba, blocks);
        try {
          const failure = await this.writer.zero(lba, blocks);
          if (failure !== undefined) return failure;
        } finally {
          device.rangeLocks.release(lock);
        }
        progress(blocks * device.blockSize);
      }
      return undefined;
    } finally {
      this.writer.releaseScratch();
    }
  }

  /** Ends with the data; what they do not fill of the last block becomes zeroes. */
  private async copy(
    reader: TokenReader,
    available: number,
    progress: (bytes: number) => void,
  ): Promise<Verdict | undefined> {
    const { blockSize } = this.writer.device;
    const scratch = this.writer.scratch(this.writer.chunkBlocks(PIECE / blockSize));
    let position = this.request.offset * blockSize;
    for (const { lba, blocks } of this.request.ranges) {
      for (let done = 0; done < blocks * blockSize && position < available; ) {
        const to = lba * blockSize + done;
        const unseen = await this.copyUnseen(reader, position, to, blocks * blockSize - done);
        if (typeof unseen !== 'number') return unseen.failure;
        if (unseen > 0) {
          progress(unseen);
          position += unseen;
          done += unseen;
          continue;
        }
        const wanted = Math.min(PIECE, blocks * blockSize - done);
        const length = Math.min(wanted, Math.ceil((available - position) / blockSize) * blockSize);
        const failure =
          (await reader.read(position, scratch.bytes.subarray(0, length))) ??
          (await writeLocked(this.task, this.writer, to, length, scratch));
        if (failure !== undefined) return failure;
        progress(length);
        position += length;
        done += length;
      }
    }
    return undefined;
  }

  /** Bytes that the backings copied by themselves, up to `wanted`; 0 when they cannot. */
  private async copyUnseen(
    reader: TokenReader,
    position: number,
    to: number,
    wanted: number,
  ): Promise<number | { failure: Verdict }> {
    const { device } = this.writer;
    const source = reader.device;
    const { from, length } = reader.locate(position);
    const whole = Math.min(length, wanted, UNSEEN_PIECE);
    const bytes = whole - (whole % Math.max(device.blockSize, source.blockSize));
    if (bytes === 0 || from % source.blockSize !== 0) return 0;
    const outcome = await copyUnseen(this.task, source, this.writer, from, to, bytes);
    if (outcome === 'not copied') return 0;
    const failure = outcome === 'copied' ? reader.stillValid() : outcome;
    return failure === undefined ? bytes : { failure };
  }
}

const SOURCE_FAILED: Verdict = { code: Sense.THIRD_PARTY_DEVICE_FAILURE };

/** The data for which a token stands, as one row of bytes. */
class TokenReader {
  private readonly token: RodToken;
  private readonly task: Task;
  private readonly medium: Medium;
  private readonly scratch: Scratch;

  constructor(token: RodToken, task: Task) {
    this.token = token;
    this.task = task;
    this.medium = new Medium(token.device, task);
    // A piece may begin within a block and end within another.
    this.scratch = this.medium.scratch(PIECE / token.device.blockSize + 1);
  }

  get device(): BlockDevice {
    return this.token.device;
  }

  /** Where the byte at `position` is on its disk, and how many follow it there; bytes. */
  locate(position: number): { from: number; length: number } {
    const { device, ranges } = this.token;
    let start = 0;
    for (const { lba, blocks } of ranges) {
      const end = start + blocks * device.blockSize;
      if (position < end) return { from: lba * device.blockSize + position - start, length: end - position };
      start = end;
    }
    return { from: 0, length: 0 };
  }

  /** Fills `into` with the bytes from `position`, and with zeroes past their end. */
  async read(position: number, into: Uint8Array): Promise<Verdict | undefined> {
    const { device, ranges } = this.token;
    const { blockSize } = device;
    let filled = 0;
    let start = 0;
    for (const { lba, blocks } of ranges) {
      const end = start + blocks * blockSize;
      while (filled < into.length && position + filled >= start && position + filled < end) {
        const from = lba * blockSize + position + filled - start;
        const length = Math.min(into.length - filled, end - position - filled);
        const skip = from % blockSize;
        const whole = Math.ceil((skip + length) / blockSize) * blockSize;
        const failure = await readLocked(this.task, this.medium, from - skip, whole, this.scratch);
        // The LBA of a medium error would be taken for one of the unit that got the command.
        if (failure !== undefined) return typeof failure === 'number' ? failure : SOURCE_FAILED;
        into.set(this.scratch.bytes.subarray(skip, skip + length), filled);
        filled += length;
      }
      start = end;
    }
    into.fill(0, filled);
    return this.stillValid();
  }

  /** After the read: a write in between would have ended the token, and the bytes are not what it stands for. */
  stillValid(): Verdict | undefined {
    this.token.lastUse = this.token.device.environment.now();
    return this.token.ended === undefined ? undefined : { code: this.token.ended };
  }

  close(): void {
    this.medium.releaseScratch();
  }
}
