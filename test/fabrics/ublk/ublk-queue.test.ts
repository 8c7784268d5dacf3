/** The queue of a ublk device, with a file in place of the driver's memory and a ring that only notes what is sent. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import type { UserBackstore } from '../../../src/backstores/async-backstore.ts';
import { BlockInitiator } from '../../../src/fabrics/loopback/block-initiator.ts';
import {
  MAX_IO_BYTES,
  QUEUE_DEPTH,
  type QueueRing,
  UblkQueue,
} from '../../../src/fabrics/ublk/ublk-queue.ts';
import {
  BUFFER_OFFSET,
  BUFFER_STRIDE,
  IoCommand,
  IoDescriptor,
  Operation,
  OperationFlag,
  SECTOR,
} from '../../../src/fabrics/ublk/ublk-spec.ts';
import { type Region, RegionMemory } from '../../../src/native/memory.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { LocalTarget, type UserDisk } from '../../../src/target/local-target.ts';
import { sendOut, TYPES } from '../../support/persistent-reservations.ts';

class CountedMemory extends RegionMemory {
  taken = 0;
  readonly held = new Set<Region>();

  override mapReadOnly(...args: Parameters<RegionMemory['mapReadOnly']>): Region {
    return this.noted(super.mapReadOnly(...args));
  }

  override mapAnonymous(...args: Parameters<RegionMemory['mapAnonymous']>): Region {
    return this.noted(super.mapAnonymous(...args));
  }

  override lend(...args: Parameters<RegionMemory['lend']>): Region {
    return this.noted(super.lend(...args));
  }

  override unmap(region: Region): boolean {
    return super.unmap(region) && this.held.delete(region);
  }

  private noted(region: Region): Region {
    this.taken++;
    this.held.add(region);
    return region;
  }
}

interface Sent {
  readonly command: number;
  readonly tag: number;
  readonly result: number;
}

class Driver implements QueueRing {
  readonly sent: Sent[] = [];
  /** Region and offset of each tag's buffer. */
  readonly buffers: [region: number, offset: number, length: number][] = [];
  queue!: UblkQueue;
  private readonly fd: number;
  private heard: (() => void) | undefined = undefined;

  constructor(fd: number) {
    this.fd = fd;
  }

  send(...[slot, , command, words, result, region, offset, length]: Parameters<QueueRing['send']>): void {
    this.buffers[slot] = [region, offset, length];
    this.sent.push({ command, tag: words / 0x1_0000, result });
    this.heard?.();
  }

  close(): void {}

  /** Puts a request under a tag and resolves with the result that comes back. */
  async request(tag: number, flags: number, sector: number, sectors: number): Promise<number> {
    const descriptor = new Uint32Array(IoDescriptor.WORDS);
    descriptor[IoDescriptor.OP_FLAGS] = flags;
    descriptor[IoDescriptor.SECTORS] = sectors;
    descriptor[IoDescriptor.START_LOW] = sector >>> 0;
    descriptor[IoDescriptor.START_HIGH] = Math.floor(sector / 2 ** 32);
    writeSync(this.fd, descriptor, 0, descriptor.byteLength, tag * descriptor.byteLength);
    const before = this.sent.length;
    this.queue.commandDone(tag, 0);
    while (this.sent.length === before) {
      await new Promise<void>((resolve) => {
        this.heard = resolve;
      });
    }
    const sent = this.sent[before];
    if (sent.command !== IoCommand.COMMIT_AND_FETCH_REQ || sent.tag !== tag)
      throw new Error('another command');
    return sent.result;
  }
}

interface Opened {
  readonly target: LocalTarget;
  readonly driver: Driver;
  /** The driver's. */
  readonly file: number;
  readonly queue: UblkQueue;
  /** A copy of a tag's buffer. */
  readonly data: (tag: number) => Uint8Array;
  readonly fill: (tag: number, data: Uint8Array) => void;
}

async function open(
  t: ExecutionContext,
  disk: string | UserDisk = 'ram:1M',
  zeroCopy = false,
): Promise<Opened> {
  const folder = temporaryFolder();
  const fd = openSync(join(folder.path, 'descriptors'), 'w+');
  writeSync(fd, new Uint8Array(QUEUE_DEPTH * IoDescriptor.WORDS * 4));
  const target = LocalTarget.open([disk]);
  const { memory, environment } = target.shard;
  const device = await BlockInitiator.open(target.connect('host').nexus, 0, environment);
  const driver = new Driver(fd);
  const queue = new UblkQueue(fd, device, memory, zeroCopy, () => driver);
  driver.queue = queue;
  queue.start();
  t.teardown(async () => {
    queue.close();
    await target.close();
    closeSync(fd);
    folder.remove();
  });
  const data = (tag: number) => {
    const bytes = new Uint8Array(BYTES);
    const [region, offset] = driver.buffers[tag];
    memory.read(region, offset, bytes, 0, BYTES);
    return bytes;
  };
  const fill = (tag: number, bytes: Uint8Array) => {
    const [region, offset] = driver.buffers[tag];
    memory.write(region, offset, bytes, 0, bytes.length);
  };
  return { target, driver, file: fd, queue, data, fill };
}

const EBADE = 52;
const EINVAL = 22;
const EOPNOTSUPP = 95;
const SECTORS = 8;
const BYTES = SECTORS * SECTOR;

test('each tag waits with a buffer of its own, and the queue ends when the driver has taken all back', async (t) => {
  const { driver, queue } = await open(t);
  t.deepEqual(
    driver.sent,
    Array.from({ length: QUEUE_DEPTH }, (_, tag) => ({ command: IoCommand.FETCH_REQ, tag, result: 0 })),
  );
  t.deepEqual(
    driver.buffers.map(([, offset, length]) => [offset, length]),
    Array.from({ length: QUEUE_DEPTH }, (_, tag) => [tag * MAX_IO_BYTES, MAX_IO_BYTES]),
  );
  let ended = false;
  void queue.ended.then(() => {
    ended = true;
  });
  const ENODEV = -19;
  for (let tag = 0; tag < QUEUE_DEPTH - 1; tag++) queue.commandDone(tag, ENODEV);
  await Promise.resolve();
  t.false(ended);
  queue.commandDone(QUEUE_DEPTH - 1, ENODEV);
  await queue.ended;
  t.pass();
});

for (const zeroCopy of [false, true]) {
  test(`a queue whose ring cannot be made leaves no memory behind, ${zeroCopy ? 'with' : 'without'} zero copy`, async (t) => {
    const { target, file } = await open(t);
    const device = await BlockInitiator.open(target.connect('another').nexus, 0, target.shard.environment);
    const memory = new CountedMemory();
    const noRing = () => {
      throw new Error('no ring for the test');
    };
    t.throws(() => new UblkQueue(file, device, memory, zeroCopy, noRing), { message: /no ring/ });
    t.is(memory.taken, 2);
    t.is(memory.held.size, 0);
  });
}

test('what one tag writes another reads; zeroes and discard make it go', async (t) => {
  const { driver, data, fill } = await open(t);
  const pattern = Uint8Array.from({ length: BYTES }, (_, i) => i % 251);
  fill(3, pattern);
  t.is(await driver.request(3, Operation.WRITE | OperationFlag.FUA, 16, SECTORS), BYTES);
  t.is(await driver.request(127, Operation.READ, 16, SECTORS), BYTES);
  t.deepEqual(data(127), pattern);
  t.is(await driver.request(5, Operation.FLUSH, 0, 0), 0);
  for (const [tag, operation] of [
    [6, Operation.WRITE_ZEROES],
    [7, Operation.WRITE_ZEROES | OperationFlag.NOUNMAP],
    [8, Operation.DISCARD],
  ]) {
    t.is(await driver.request(3, Operation.WRITE, 16, SECTORS), BYTES);
    t.is(await driver.request(tag, operation, 16, SECTORS), 0);
    t.is(await driver.request(tag, Operation.READ, 16, SECTORS), BYTES);
    t.true(
      data(tag).every((byte) => byte === 0),
      `tag ${tag}`,
    );
  }
});

test('with zero copy the driver gets no buffer, and whoever needs the data takes a copy from its file', async (t) => {
  const stored = new Uint8Array(1 << 20);
  const backstore: UserBackstore = {
    byteLength: stored.length,
    read: async (offset, length) => stored.slice(offset, offset + length),
    write: async (offset, data) => stored.set(data, offset),
  };
  const { driver, file } = await open(t, { name: 'stored', backstore }, true);
  t.true(driver.buffers.every(([region]) => region === -1));
  const pattern = Uint8Array.from({ length: BYTES }, (_, i) => i % 251);
  writeSync(file, pattern, 0, BYTES, BUFFER_OFFSET + 3 * BUFFER_STRIDE);
  t.is(await driver.request(3, Operation.WRITE, 16, SECTORS), BYTES);
  t.deepEqual(stored.subarray(16 * SECTOR, 16 * SECTOR + BYTES), pattern);
  t.is(await driver.request(127, Operation.READ, 16, SECTORS), BYTES);
  const data = new Uint8Array(BYTES);
  readSync(file, data, 0, BYTES, BUFFER_OFFSET + 127 * BUFFER_STRIDE);
  t.deepEqual(data, pattern);
});

for (const [what, operation] of [
  ['a write', Operation.WRITE],
  ['zeroes', Operation.WRITE_ZEROES | OperationFlag.NOUNMAP],
] as const) {
  test(`${what} with FUA: answered when durable, and without it before`, async (t) => {
    let flushed = 0;
    const backstore: UserBackstore = {
      byteLength: 1 << 20,
      read: async (_offset, length) => new Uint8Array(length),
      write: async () => {},
      flush: async () => void flushed++,
    };
    const { driver } = await open(t, { name: 'cached', backstore });
    await driver.request(0, operation, 0, SECTORS);
    t.is(flushed, 0);
    t.true((await driver.request(0, operation | OperationFlag.FUA, 0, SECTORS)) >= 0);
    t.is(flushed, 1);
    t.is(await driver.request(0, Operation.FLUSH, 0, 0), 0);
    t.is(flushed, 2);
  });
}

const END = (1 << 20) / SECTOR;
const failures: [title: string, disk: string, flags: number, sector: number, error: number][] = [
  ['an operation that nobody knows', 'ram:1M', 9, 0, EOPNOTSUPP],
  ['a read past the end', 'ram:1M', Operation.READ, END, EINVAL],
  ['a sector beyond 2^32', 'ram:1M', Operation.READ, 2 ** 33, EINVAL],
  ['a write to a read-only disk', 'ram:1M,ro', Operation.WRITE, 0, EBADE],
];
for (const [title, disk, flags, sector, error] of failures) {
  test(`${title} fails, and the tag waits again`, async (t) => {
    const { driver } = await open(t, disk);
    const result = await driver.request(0, flags, sector, SECTORS);
    t.is(result, -error);
    t.is(await driver.request(0, Operation.READ, 0, SECTORS), BYTES);
  });
}

test("a write against another initiator's reservation fails with EBADE, and succeeds after its release", async (t) => {
  const { target, driver } = await open(t);
  const other = target.connect('other');
  // The news of its power-on come first.
  t.is((await other.send({ cdb: [0, 0, 0, 0, 0, 0] })).status, Status.CHECK_CONDITION);
  t.is((await sendOut(other, 'register', { actionKey: 1 })).status, Status.GOOD);
  t.is((await sendOut(other, 'reserve', { key: 1, type: TYPES.WE })).status, Status.GOOD);
  t.is(await driver.request(0, Operation.WRITE, 0, SECTORS), -EBADE);
  t.is(await driver.request(0, Operation.READ, 0, SECTORS), BYTES);
  await sendOut(other, 'release', { key: 1, type: TYPES.WE });
  t.is(await driver.request(0, Operation.WRITE, 0, SECTORS), BYTES);
});
