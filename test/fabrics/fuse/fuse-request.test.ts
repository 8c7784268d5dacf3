import test from 'ava';
import fc from 'fast-check';
import { DiskFile } from '../../../src/fabrics/fuse/disk-file.ts';
import { FuseRequest, type FuseRequestOwner } from '../../../src/fabrics/fuse/fuse-request.ts';
import { Opcode } from '../../../src/fabrics/fuse/fuse-spec.ts';
import { pattern } from '../../support/block-cdbs.ts';
import { openBlockInitiator } from '../../support/block-initiator.ts';
import { Core, type CoreOptions } from '../../support/core.ts';

const MIB = 1 << 20;

/** A session without a kernel: requests as bytes, answers as they would go to /dev/fuse. */
class Kernel implements FuseRequestOwner {
  readonly core: Core;
  readonly file: DiskFile;
  readonly requestTimeout = 120;
  readonly answers: Buffer[] = [];
  readonly interrupted: [number, number][] = [];
  private idle: () => void = () => {};

  private constructor(core: Core, file: DiskFile) {
    this.core = core;
    this.file = file;
  }

  static async open(options: CoreOptions = {}): Promise<Kernel> {
    const core = new Core(options);
    return new Kernel(core, new DiskFile(await openBlockInitiator(core)));
  }

  write(bytes: Uint8Array, at: number, length: number): void {
    this.answers.push(Buffer.from(bytes.slice(at, at + length)));
  }

  interrupt(high: number, low: number): void {
    this.interrupted.push([high, low]);
  }

  retire(): void {
    this.idle();
  }

  /** Performs raw bytes; resolves when the request is over. */
  async raw(message: Uint8Array): Promise<void> {
    const { memory } = this.core.environment;
    const request = new FuseRequest(this, memory);
    request.buffer.fill((into, at) => {
      into.set(message, at);
      return message.length;
    });
    await new Promise<void>((resolve) => {
      this.idle = resolve;
      request.perform();
    });
    memory.release(request.buffer.scratch);
  }

  /** The error and the body of the answer to one request. */
  async ask(opcode: number, body: Uint8Array, node = 1): Promise<{ error: number; body: Buffer }> {
    await this.raw(request(opcode, body, node));
    const answer = this.answers.pop()!;
    if (answer.readUInt32LE(0) !== answer.length) throw new Error('the length is wrong');
    if (answer.readBigUInt64LE(8) !== 77n) throw new Error('the answer is somebody else’s');
    return { error: Math.abs(answer.readInt32LE(4)), body: answer.subarray(16) };
  }
}

function request(opcode: number, body: Uint8Array, node = 1): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32LE(40 + body.length, 0);
  header.writeUInt32LE(opcode, 4);
  header.writeBigUInt64LE(77n, 8);
  header.writeUInt32LE(node, 16);
  return Buffer.concat([header, body]);
}

/** fuse_read_in and fuse_write_in, fuse_fallocate_in, fuse_lseek_in: they differ behind the first 16 bytes. */
function transfer(offset: number, length: number, flags = 0): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.writeBigUInt64LE(BigInt(offset), 8);
  bytes.writeUInt32LE(length, 16);
  bytes.writeUInt32LE(flags, 32);
  return bytes;
}

function range(offset: number, length: number, mode: number): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeBigUInt64LE(BigInt(offset), 8);
  bytes.writeBigUInt64LE(BigInt(length), 16);
  bytes.writeUInt32LE(mode, 24);
  return bytes;
}

const EINVAL = 22;
const ENOSPC = 28;
const ENXIO = 6;
const ENOENT = 2;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
const EPERM = 1;

const rows: [
  title: string,
  opcode: number,
  body: Buffer,
  error: number,
  length?: number,
  options?: CoreOptions,
][] = [
  ['a read', Opcode.READ, transfer(0, 4096), 0, 4096],
  ['a read across the end', Opcode.READ, transfer(MIB - 100, 4096), 0, 100],
  ['a read behind the end', Opcode.READ, transfer(MIB, 4096), 0, 0],
  ['a read far behind the end', Opcode.READ, transfer(2 ** 52, 4096), 0, 0],
  ['a write behind the end', Opcode.WRITE, Buffer.concat([transfer(MIB, 512), Buffer.alloc(512)]), ENOSPC],
  [
    'a write across the end',
    Opcode.WRITE,
    Buffer.concat([transfer(MIB - 512, 1024), Buffer.alloc(1024)]),
    0,
    8,
  ],
  [
    'a write to a read-only disk',
    Opcode.WRITE,
    Buffer.concat([transfer(0, 512), Buffer.alloc(512)]),
    EPERM,
    0,
    { capabilities: { readOnly: true } },
  ],
  ['a sync', Opcode.FSYNC, Buffer.alloc(16), 0, 0],
  ['a hole', Opcode.FALLOCATE, range(4096, 8192, 3), 0, 0],
  ['a hole behind the end', Opcode.FALLOCATE, range(MIB, 8192, 3), 0, 0],
  ['zeroes', Opcode.FALLOCATE, range(4096, 8192, 0x11), 0, 0],
  ['zeroes behind the end', Opcode.FALLOCATE, range(MIB, 8192, 0x10), ENOSPC],
  ['space set aside', Opcode.FALLOCATE, range(0, 8192, 0), EOPNOTSUPP],
  ['a hole cut out', Opcode.FALLOCATE, range(0, 8192, 0x08), EOPNOTSUPP],
  ['the next data', Opcode.LSEEK, transfer(0, 3), ENXIO],
  ['the next hole', Opcode.LSEEK, transfer(4096, 4), 0, 8],
  ['a seek behind the end', Opcode.LSEEK, transfer(MIB, 4), ENXIO],
  ['a seek of another kind', Opcode.LSEEK, transfer(0, 0), EINVAL],
  ['attributes', Opcode.GETATTR, Buffer.alloc(16), 0, 104],
  ['O_TRUNC', Opcode.SETATTR, Buffer.concat([Buffer.from([8]), Buffer.alloc(87)]), 0, 104],
  ['open', Opcode.OPEN, Buffer.alloc(8), 0, 16],
  ['release', Opcode.RELEASE, Buffer.alloc(24), 0, 0],
  ['the file system', Opcode.STATFS, Buffer.alloc(0), 0, 80],
  ['what nobody knows', 4711, Buffer.alloc(0), ENOSYS],
];
for (const [title, opcode, body, error, length = 0, options] of rows) {
  test(`${title}: error ${error}, ${length} bytes`, async (t) => {
    const kernel = await Kernel.open(options);
    const answer = await kernel.ask(opcode, body);
    t.deepEqual([answer.error, answer.body.length], [error, length]);
    t.is(kernel.core.environment.memory.outstanding, 0);
  });
}

test('what is written is read, from whatever byte on', async (t) => {
  const kernel = await Kernel.open();
  const data = pattern(5000, 6);
  const { body } = await kernel.ask(Opcode.WRITE, Buffer.concat([transfer(777, data.length), data]));
  t.is(body.readUInt32LE(0), data.length);
  t.deepEqual((await kernel.ask(Opcode.READ, transfer(777, data.length))).body, Buffer.from(data));
  t.deepEqual((await kernel.ask(Opcode.READ, transfer(800, 13))).body, Buffer.from(data.subarray(23, 36)));
});

test('O_DSYNC is FUA', async (t) => {
  const kernel = await Kernel.open();
  await kernel.ask(Opcode.WRITE, Buffer.concat([transfer(0, 512, 0o10_000), Buffer.alloc(512)]));
  t.true(kernel.core.backstore.log[kernel.core.backstore.log.length - 1].fua);
});

test('attributes tell the size', async (t) => {
  const kernel = await Kernel.open();
  const { body } = await kernel.ask(Opcode.GETATTR, Buffer.alloc(16));
  t.is(body.readBigUInt64LE(24), BigInt(MIB));
  t.is(body.readUInt32LE(76), 0o100_600);
});

test('INIT agrees on what both have, and on a time-out where the kernel has one', async (t) => {
  const kernel = await Kernel.open();
  const init = (minor: number, flags: number, flags2: number) => {
    const body = Buffer.alloc(64);
    body.writeUInt32LE(7, 0);
    body.writeUInt32LE(minor, 4);
    body.writeUInt32LE(flags >>> 0, 12);
    body.writeUInt32LE(flags2, 16);
    return kernel.ask(Opcode.INIT, body, 0);
  };
  const modern = (await init(44, 0xffff_ffff, 0xffff_ffff)).body;
  t.is(modern.length, 64);
  t.is(modern.readUInt32LE(20), MIB);
  t.is(modern.readUInt16LE(40), 120);
  const older = (await init(31, (1 << 22) | 1, 0)).body;
  t.is(older.readUInt32LE(12), (1 << 22) | 1);
  t.is(older.readUInt16LE(40), 0);
  t.is((await init(20, 0, 0)).error, 71);
});

test('an interrupt names another request, and needs no answer', async (t) => {
  const kernel = await Kernel.open();
  const body = Buffer.alloc(8);
  body.writeUInt32LE(5, 0);
  body.writeUInt32LE(6, 4);
  await kernel.raw(request(Opcode.INTERRUPT, body));
  t.deepEqual(kernel.interrupted, [[6, 5]]);
  t.is(kernel.answers.length, 0);
});

test('other nodes than the file are not there', async (t) => {
  const kernel = await Kernel.open();
  t.is((await kernel.ask(Opcode.GETATTR, Buffer.alloc(16), 2)).error, ENOENT);
});

test('whatever the bytes are, each request is answered once and well formed, or needs no answer', async (t) => {
  const kernel = await Kernel.open();
  const { FORGET, BATCH_FORGET, INTERRUPT } = Opcode;
  const opcode = fc.oneof(fc.constantFrom(...Object.values(Opcode)), fc.nat(60));
  await t.notThrowsAsync(
    fc.assert(
      fc.asyncProperty(opcode, fc.uint8Array({ minLength: 48, maxLength: 200 }), async (code, body) => {
        kernel.answers.length = 0;
        await kernel.raw(request(code, body));
        const silent = code === FORGET || code === BATCH_FORGET || code === INTERRUPT;
        if (kernel.answers.length !== (silent ? 0 : 1)) throw new Error(`${kernel.answers.length} answers`);
        if (!silent && kernel.answers[0].readUInt32LE(0) !== kernel.answers[0].length)
          throw new Error('wrong length');
      }),
      { numRuns: 300 },
    ),
  );
  t.is(kernel.core.environment.memory.outstanding, 0);
});
