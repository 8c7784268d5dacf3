/**
 * Makes WRITE ATOMIC all or nothing even when the process or the power ends in its middle (SBC-4 4.29): before
 * the blocks are written, what they held is put on stable storage, and taken away when the new blocks are
 * stable. Whoever finds it after a restart puts the old blocks back, since nobody was told that the write is done.
 */
import type { BlockDevice } from './block-device.ts';
import { fromHex, toHex } from './bytes.ts';
import { DamagedStateError } from './damaged-state-error.ts';
import { Medium, type Verdict } from './medium.ts';
import { Sense } from './sense-spec.ts';

/** Name in the state store. */
const ENTRY = 'atomic-write';

interface Entry {
  /** Bytes. */
  readonly blockSize: number;
  /** In blocks of this size. */
  readonly lba: number;
  /** What they held, in hexadecimal. */
  readonly blocks: string;
}

export class AtomicJournal {
  private readonly device: BlockDevice;
  /** The store holds one entry, so atomic writes of a unit go one after the other. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(device: BlockDevice) {
    this.device = device;
  }

  /** Runs `write`, which replaces `old`, the blocks from `lba` on; if it fails they are `old` again. */
  run(lba: number, old: Uint8Array, write: () => Promise<Verdict | undefined>): Promise<Verdict | undefined> {
    const turn = this.last.then(async () => {
      try {
        await this.keep(lba, old);
        const failure = await write();
        const settled = failure === undefined || (await this.putBack(lba, old)) === undefined;
        if (settled) await this.clear();
        return failure;
      } finally {
        // What stays in the store is put back at the next start: no write may be answered that this would undo.
        if (!this.isEmpty) this.device.notReady = { sense: Sense.MEDIUM_FORMAT_CORRUPTED };
      }
    });
    this.last = turn.catch(() => undefined);
    return turn;
  }

  /** At start, before an erasure is taken up again: the old blocks are to be erased, and not to come back. */
  discard(): void {
    if (!this.isEmpty) this.clear().catch((error: unknown) => this.device.environment.defect?.(error));
  }

  /** At start: undoes an atomic write that was interrupted. The unit is not ready until that is done. */
  recover(): void {
    if (this.isEmpty) return;
    const { blockSize, lba, blocks } = parse(this.device.store!.load(ENTRY)!);
    if (blockSize !== this.device.blockSize) {
      throw new DamagedStateError(
        ENTRY,
        `its blocks have ${blockSize} bytes, the disk's ${this.device.blockSize}`,
      );
    }
    this.device.notReady = { sense: Sense.BECOMING_READY };
    void this.undo(lba, fromHex(blocks));
  }

  /** Never rejects. */
  private async undo(lba: number, old: Uint8Array): Promise<void> {
    const { device } = this;
    try {
      if ((await this.putBack(lba, old)) === undefined) {
        await this.clear();
        device.notReady = undefined;
        return;
      }
    } catch (error) {
      device.environment.defect?.(error);
    }
    device.notReady = { sense: Sense.MEDIUM_FORMAT_CORRUPTED };
  }

  private get isEmpty(): boolean {
    return !this.device.store?.load(ENTRY);
  }

  private async clear(): Promise<void> {
    await this.device.store?.save(ENTRY, '');
  }

  private async keep(lba: number, old: Uint8Array): Promise<void> {
    const { blockSize, store } = this.device;
    const entry: Entry = { blockSize, lba, blocks: toHex(old) };
    await store?.save(ENTRY, JSON.stringify(entry));
  }

  private async putBack(lba: number, old: Uint8Array): Promise<Verdict | undefined> {
    const medium = new Medium(this.device);
    const blocks = old.length / this.device.blockSize;
    const scratch = medium.scratch(blocks);
    scratch.bytes.set(old);
    try {
      return await medium.write(lba, blocks, scratch, true);
    } finally {
      medium.releaseScratch();
    }
  }
}

function parse(text: string): Entry {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DamagedStateError(ENTRY, 'it is no JSON', { cause });
  }
  const { blockSize, lba, blocks } = (value ?? {}) as Partial<Entry>;
  const isEntry =
    Number.isSafeInteger(lba) &&
    Number.isSafeInteger(blockSize) &&
    typeof blocks === 'string' &&
    /^(?:[0-9a-f]{2})+$/.test(blocks) &&
    blocks.length % (2 * blockSize!) === 0;
  if (!isEntry) throw new DamagedStateError(ENTRY, 'it holds no blocks');
  return { blockSize, lba, blocks } as Entry;
}
