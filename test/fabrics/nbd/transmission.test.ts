import test, { type ExecutionContext } from 'ava';
import { Chunk, Command, CommandFlag, MAX_PAYLOAD } from '../../../src/fabrics/nbd/nbd-spec.ts';
import { OperationKind, Outcome } from '../../../src/scsi/backstore.ts';
import { pattern } from '../../support/block-cdbs.ts';
import type { CoreOptions } from '../../support/core.ts';
import { NbdClient, type RequestFields } from '../../support/nbd-client.ts';
import { openNbdServer, type TestNbdServer } from '../../support/nbd-server.ts';

type Form = 'simple' | 'structured' | 'extended';
const FORMS: readonly Form[] = ['simple', 'structured', 'extended'];

async function connect(
  t: ExecutionContext,
  form: Form,
  options: CoreOptions = {},
): Promise<{ served: TestNbdServer; client: NbdClient }> {
  const served = await openNbdServer(options);
  const client = await NbdClient.open(served.path);
  t.teardown(async () => {
    client.close();
    await served.close();
  });
  await client.go(form);
  return { served, client };
}

/** The error of the reply, whatever its form. */
async function errorOf(client: NbdClient, form: Form, length = 0): Promise<number> {
  if (form === 'simple') return (await client.simpleReply(length)).error;
  const { type, data } = await client.chunk();
  return (type & 0x8000) !== 0 ? data.readUInt32BE(0) : 0;
}

for (const form of FORMS) {
  test(`what is written is read, with ${form} replies`, async (t) => {
    const { client, served } = await connect(t, form);
    const data = pattern(4096, 9);
    const flags = form === 'extended' ? CommandFlag.PAYLOAD_LEN : 0;
    client.request({
      type: Command.WRITE,
      flags,
      offset: 8192,
      length: data.length,
      payload: data,
      cookie: 0x1234,
    });
    t.is(await errorOf(client, form), 0);
    client.request({ type: Command.READ, offset: 8192, length: data.length, cookie: 0x5678 });
    if (form === 'simple') {
      t.deepEqual(await client.simpleReply(data.length), {
        error: 0,
        cookie: 0x5678,
        data: Buffer.from(data),
      });
    } else {
      const chunk = await client.chunk();
      t.like(chunk, { flags: 1, type: Chunk.OFFSET_DATA, cookie: 0x5678 });
      t.is(chunk.data.readBigUInt64BE(0), 8192n);
      t.deepEqual(chunk.data.subarray(8), Buffer.from(data));
    }
    t.deepEqual(served.core.backstore.bytes.slice(8192, 12288), data);
  });
}

const EINVAL = 22;
const ENOSPC = 28;
const EPERM = 1;
const ENOTSUP = 95;
const END = 1 << 20;
const readOnly: CoreOptions = { capabilities: { readOnly: true } };
const thick: CoreOptions = { capabilities: { unmap: false } };
const { READ, WRITE, TRIM, WRITE_ZEROES, CACHE, FLUSH, BLOCK_STATUS } = Command;
const data512 = new Uint8Array(512);

const refusals: [title: string, request: RequestFields, error: number, options?: CoreOptions, form?: Form][] =
  [
    ['a read past the end', { type: READ, offset: END - 512, length: 1024 }, EINVAL],
    ['a read far past the end', { type: READ, offset: 0xffff_ffff_ffff_fe00n, length: 512 }, EINVAL],
    ['a write past the end', { type: WRITE, offset: END, length: 512, payload: data512 }, ENOSPC],
    ['zeroes past the end', { type: WRITE_ZEROES, offset: END - 512, length: 1024 }, ENOSPC],
    ['a trim past the end', { type: TRIM, offset: END, length: 512 }, EINVAL],
    ['a cache request past the end', { type: CACHE, offset: END, length: 512 }, EINVAL],
    [
      'block status past the end',
      { type: BLOCK_STATUS, offset: END, length: 512 },
      EINVAL,
      undefined,
      'structured',
    ],
    ['a read of nothing', { type: READ }, EINVAL],
    ['a write of nothing', { type: WRITE }, EINVAL],
    ['a trim of nothing', { type: TRIM }, EINVAL],
    ['zeroes of nothing', { type: WRITE_ZEROES }, EINVAL],
    ['block status of nothing', { type: BLOCK_STATUS }, EINVAL, undefined, 'structured'],
    ['an odd offset', { type: READ, offset: 1, length: 512 }, EINVAL],
    ['an odd length', { type: WRITE, length: 100, payload: new Uint8Array(100) }, EINVAL],
    ['more than one reply may carry', { type: READ, length: MAX_PAYLOAD + 512 }, EINVAL],
    ['a flush of a range', { type: FLUSH, length: 512 }, EINVAL],
    ['a command that nobody knows', { type: 4711, length: 512 }, EINVAL],
    ['a flag that nobody knows', { type: READ, flags: 0x100, length: 512 }, EINVAL],
    ['DF with simple replies', { type: READ, flags: CommandFlag.DF, length: 512 }, EINVAL],
    ['REQ_ONE where it means nothing', { type: READ, flags: CommandFlag.REQ_ONE, length: 512 }, EINVAL],
    ['NO_HOLE where it means nothing', { type: TRIM, flags: CommandFlag.NO_HOLE, length: 512 }, EINVAL],
    ['FAST_ZERO where it means nothing', { type: TRIM, flags: CommandFlag.FAST_ZERO, length: 512 }, EINVAL],
    ['block status without its context', { type: BLOCK_STATUS, length: 512 }, EINVAL],
    ['a write to a read-only disk', { type: WRITE, length: 512, payload: data512 }, EPERM, readOnly],
    ['zeroes on a read-only disk', { type: WRITE_ZEROES, length: 512 }, EPERM, readOnly],
    ['a trim on a thick disk', { type: TRIM, length: 512 }, EINVAL, thick],
    [
      'fast zeroes on a thick disk',
      { type: WRITE_ZEROES, flags: CommandFlag.FAST_ZERO, length: 512 },
      ENOTSUP,
      thick,
    ],
    [
      'fast zeroes without holes',
      { type: WRITE_ZEROES, flags: CommandFlag.FAST_ZERO | CommandFlag.NO_HOLE, length: 512 },
      ENOTSUP,
    ],
    ['a payload where none belongs', { type: TRIM, flags: CommandFlag.PAYLOAD_LEN, length: 512 }, EINVAL],
    [
      'a payload where none belongs, with extended headers',
      { type: BLOCK_STATUS, flags: CommandFlag.PAYLOAD_LEN, length: 512, payload: data512 },
      EINVAL,
      {},
      'extended',
    ],
  ];
for (const [title, request, error, options, form = 'simple'] of refusals) {
  test(`${title} is refused with ${error}, and the connection goes on`, async (t) => {
    const { client } = await connect(t, form, options);
    client.request(request);
    t.is(await errorOf(client, form), error);
    client.request({ type: READ, length: 512 });
    t.is(await errorOf(client, form, 512), 0);
  });
}

test('FUA is never wrong', async (t) => {
  const { client } = await connect(t, 'structured');
  for (const type of [READ, WRITE, TRIM, WRITE_ZEROES, CACHE, BLOCK_STATUS]) {
    client.request({
      type,
      flags: CommandFlag.FUA,
      length: 512,
      payload: type === WRITE ? data512 : undefined,
    });
    t.is(await errorOf(client, 'structured'), 0, `command ${type}`);
  }
  client.request({ type: FLUSH, flags: CommandFlag.FUA });
  t.is(await errorOf(client, 'structured'), 0);
});

test('a read that must not be fragmented is one chunk, as any other', async (t) => {
  const { client } = await connect(t, 'structured');
  client.request({ type: READ, flags: CommandFlag.DF, length: END });
  const { flags, type, data } = await client.chunk();
  t.deepEqual([flags, type, data.length], [1, Chunk.OFFSET_DATA, 8 + END]);
});

test('extended replies repeat the offset of their request, however wrong it is', async (t) => {
  const { client } = await connect(t, 'extended');
  for (const offset of [0n, 4096n, 0xffff_ffff_ffff_fe01n, 0x8000_0000_0000_0001n]) {
    client.request({ type: READ, offset, length: 512 });
    t.is((await client.chunk()).offset, offset);
  }
});

test('a write with extended headers that keeps quiet about its payload has one all the same', async (t) => {
  const { client, served } = await connect(t, 'extended');
  client.request({ type: WRITE, length: 512, payload: new Uint8Array(512).fill(7), cookie: 1 });
  client.request({ type: FLUSH, cookie: 2 });
  t.deepEqual([(await client.chunk()).cookie, (await client.chunk()).cookie], [1, 2]);
  t.is(served.core.backstore.bytes[511], 7);
});

const effects: [title: string, request: RequestFields, does: [kind: number, blocks: number][]][] = [
  ['TRIM', { type: TRIM, offset: 4096, length: 8192 }, [[OperationKind.UNMAP, 16]]],
  ['WRITE_ZEROES', { type: WRITE_ZEROES, length: 8192 }, [[OperationKind.UNMAP, 16]]],
  [
    'WRITE_ZEROES with NO_HOLE and FUA',
    { type: WRITE_ZEROES, flags: CommandFlag.NO_HOLE | CommandFlag.FUA, length: 8192 },
    [
      [OperationKind.WRITE_ZEROES, 16],
      [OperationKind.FLUSH, 0],
    ],
  ],
  [
    'FAST_ZERO',
    { type: WRITE_ZEROES, flags: CommandFlag.FAST_ZERO, length: 512 },
    [[OperationKind.UNMAP, 1]],
  ],
  ['CACHE', { type: CACHE, length: 4096 }, [[OperationKind.PREFETCH, 8]]],
  ['FLUSH', { type: FLUSH }, [[OperationKind.FLUSH, 0]]],
  [
    'WRITE with FUA',
    { type: WRITE, flags: CommandFlag.FUA, length: 512, payload: data512 },
    [[OperationKind.WRITE, 1]],
  ],
];
for (const [title, request, does] of effects) {
  test(`${title} does what it says`, async (t) => {
    const { client, served } = await connect(t, 'simple');
    served.core.backstore.log.length = 0;
    client.request(request);
    t.is((await client.simpleReply()).error, 0);
    t.deepEqual(
      served.core.backstore.log.map(({ kind, length }) => [
        kind,
        kind === OperationKind.FLUSH ? 0 : length / 512,
      ]),
      does,
    );
    if (title === 'WRITE with FUA') t.true(served.core.backstore.log[0].fua);
  });
}

test('replies come in any order, each with its cookie', async (t) => {
  const { client, served } = await connect(t, 'simple');
  served.core.backstore.hold = true;
  for (const cookie of [1, 2, 3]) client.request({ type: READ, offset: cookie * 512, length: 512, cookie });
  while (served.core.backstore.held.length < 3) await new Promise(setImmediate);
  const { held } = served.core.backstore;
  held.reverse();
  served.core.backstore.releaseHeld();
  const cookies = [];
  for (let i = 0; i < 3; i++) cookies.push((await client.simpleReply(512)).cookie);
  t.deepEqual(cookies, [3, 2, 1]);
});

const faults: [Outcome, number][] = [
  [Outcome.MEDIUM_ERROR, 5],
  [Outcome.NO_SPACE, ENOSPC],
];
for (const [outcome, error] of faults) {
  for (const form of FORMS) {
    test(`outcome ${outcome} of the disk is error ${error} in ${form} form`, async (t) => {
      const { client, served } = await connect(t, form);
      served.core.backstore.fault = { kind: OperationKind.WRITE, outcome };
      const flags = form === 'extended' ? CommandFlag.PAYLOAD_LEN : 0;
      client.request({ type: WRITE, flags, length: 512, payload: data512 });
      t.is(await errorOf(client, form), error);
    });
  }
}

for (const form of ['structured', 'extended'] as const) {
  for (const [title, kind, request] of [
    ['read', OperationKind.READ, { type: READ }],
    ['write', OperationKind.WRITE, { type: WRITE, payload: new Uint8Array(8192) }],
  ] as const) {
    test(`the error of a ${title} in ${form} form names the block that failed`, async (t) => {
      const { client, served } = await connect(t, form);
      served.core.backstore.fault = { kind, at: 6144, outcome: Outcome.MEDIUM_ERROR };
      const flags = form === 'extended' && kind === OperationKind.WRITE ? CommandFlag.PAYLOAD_LEN : 0;
      client.request({ ...request, flags, offset: 4096, length: 8192 });
      const { type, data } = await client.chunk();
      t.is(type, Chunk.ERROR_OFFSET);
      t.deepEqual([data.length, data.readUInt32BE(0), data.readBigUInt64BE(6)], [14, 5, 6144n]);
    });
  }

  test(`block status tells holes from data in ${form} form`, async (t) => {
    const { client, served } = await connect(t, form);
    await served.core.initiator.send({
      cdb: [0x2a, 0, 0, 0, 0, 8, 0, 0, 8, 0],
      dataOut: new Uint8Array(4096),
    });
    const status = async (flags: number, length: number) => {
      client.request({ type: BLOCK_STATUS, flags, offset: 0, length });
      const { type, data } = await client.chunk();
      t.is(type, form === 'extended' ? Chunk.BLOCK_STATUS_EXT : Chunk.BLOCK_STATUS);
      t.is(data.readUInt32BE(0), 1);
      const extents: [number, number][] = [];
      if (form === 'extended') {
        t.is(data.readUInt32BE(4), (data.length - 8) / 16);
        for (let at = 8; at < data.length; at += 16)
          extents.push([Number(data.readBigUInt64BE(at)), Number(data.readBigUInt64BE(at + 8))]);
      } else
        for (let at = 4; at < data.length; at += 8)
          extents.push([data.readUInt32BE(at), data.readUInt32BE(at + 4)]);
      return extents;
    };
    t.deepEqual(await status(0, 16384), [
      [4096, 3],
      [4096, 0],
      [8192, 3],
    ]);
    t.deepEqual(await status(CommandFlag.REQ_ONE, 16384), [[4096, 3]]);
    t.deepEqual(await status(CommandFlag.REQ_ONE, 512), [[512, 3]]);
  });
}

test('lengths beyond 32 bits come with extended headers', async (t) => {
  const { client, served } = await connect(t, 'extended');
  const length = 5 * 2 ** 32;
  served.core.disk.blockCount = length / 512;
  served.server.exports[0].device.geometry = {
    ...served.server.exports[0].device.geometry,
    byteLength: length,
  };
  client.request({ type: BLOCK_STATUS, length });
  const { type, data } = await client.chunk();
  t.is(type, Chunk.BLOCK_STATUS_EXT);
  t.true(data.readBigUInt64BE(8) > 0n);
});

test('a reservation of another initiator is EPERM for writing', async (t) => {
  const { client, served } = await connect(t, 'simple');
  const list = new Uint8Array(24);
  list[15] = 1;
  await served.core.initiator.send({ cdb: [0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  const held = new Uint8Array(24);
  held[7] = 1;
  await served.core.initiator.send({ cdb: [0x5f, 1, 1, 0, 0, 0, 0, 0, 24, 0], dataOut: held });
  client.request({ type: WRITE, length: 512, payload: data512 });
  t.is((await client.simpleReply()).error, EPERM);
  client.request({ type: READ, length: 512 });
  t.is((await client.simpleReply(512)).error, 0);
});

test('DISC is obeyed when everything before it is answered', async (t) => {
  const { client, served } = await connect(t, 'simple');
  served.core.backstore.hold = true;
  client.request({ type: WRITE, length: 512, payload: data512, cookie: 1 });
  client.request({ type: Command.DISC });
  while (served.core.backstore.held.length === 0) await new Promise(setImmediate);
  served.core.backstore.releaseHeld();
  t.is((await client.simpleReply()).cookie, 1);
  await client.hungUp();
  t.deepEqual(served.endings, ['the client has finished']);
});
