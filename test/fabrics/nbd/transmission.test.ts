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
  return type === Chunk.ERROR ? data.readUInt32BE(0) : 0;
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
    ['a trim past the end', { type: TRIM, offset: END, length: 512 }, ENOSPC],
    ['a read of nothing', { type: READ }, EINVAL],
    ['an odd offset', { type: READ, offset: 1, length: 512 }, EINVAL],
    ['an odd length', { type: WRITE, length: 100, payload: new Uint8Array(100) }, EINVAL],
    ['more than one reply may carry', { type: READ, length: MAX_PAYLOAD + 512 }, EINVAL],
    ['a flush of a range', { type: FLUSH, length: 512 }, EINVAL],
    ['a command that nobody knows', { type: 4711, length: 512 }, EINVAL],
    ['a flag that nobody knows', { type: READ, flags: 0x100, length: 512 }, EINVAL],
    ['DF with simple replies', { type: READ, flags: CommandFlag.DF, length: 512 }, EINVAL],
    ['block status without its context', { type: BLOCK_STATUS, length: 512 }, EINVAL],
    ['a write to a read-only disk', { type: WRITE, length: 512, payload: data512 }, EPERM, readOnly],
    ['zeroes on a read-only disk', { type: WRITE_ZEROES, length: 512 }, EPERM, readOnly],
    ['a trim on a thick disk', { type: TRIM, length: 512 }, ENOTSUP, thick],
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
