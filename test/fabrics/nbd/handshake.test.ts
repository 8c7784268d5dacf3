import test, { type ExecutionContext } from 'ava';
import { Chunk, Command, Info, Option, Reply, TransmissionFlag } from '../../../src/fabrics/nbd/nbd-spec.ts';
import { goRequest, metaQuery, NbdClient, type OptionReply, u32 } from '../../support/nbd-client.ts';
import { EXPORT_NAME, openNbdServer, type TestNbdServer } from '../../support/nbd-server.ts';

async function connect(
  t: ExecutionContext,
  flags = 3,
): Promise<{ served: TestNbdServer; client: NbdClient }> {
  const served = await openNbdServer();
  const client = await NbdClient.open(served.path, flags);
  t.teardown(async () => {
    client.close();
    await served.close();
  });
  return { served, client };
}

const types = (replies: readonly OptionReply[]) => replies.map(({ type }) => type);
const STRUCTURED: [number, Buffer][] = [[Option.STRUCTURED_REPLY, Buffer.alloc(0)]];

const { ACK, INFO, SERVER, META_CONTEXT } = Reply;
const rows: [title: string, option: number, data: Buffer, expected: number[], before?: [number, Buffer][]][] =
  [
    ['LIST', Option.LIST, Buffer.alloc(0), [SERVER, ACK]],
    ['LIST with data', Option.LIST, Buffer.alloc(1), [Reply.ERR_INVALID]],
    ['INFO of the default export', Option.INFO, goRequest(''), [INFO, INFO, ACK]],
    ['INFO of a name', Option.INFO, goRequest(EXPORT_NAME), [INFO, INFO, ACK]],
    ['INFO with everything', Option.INFO, goRequest('', [1, 2, 3]), [INFO, INFO, INFO, INFO, ACK]],
    ['INFO of a name that there is not', Option.INFO, goRequest('other'), [Reply.ERR_UNKNOWN]],
    ['INFO that is cut off', Option.INFO, goRequest('disk').subarray(0, 6), [Reply.ERR_INVALID]],
    [
      'INFO with a name beyond its end',
      Option.INFO,
      Buffer.concat([u32(4000), Buffer.alloc(4)]),
      [Reply.ERR_INVALID],
    ],
    ['INFO with a count that lies', Option.INFO, Buffer.from([0, 0, 0, 0, 0, 9]), [Reply.ERR_INVALID]],
    ['GO of a name that there is not', Option.GO, goRequest('other'), [Reply.ERR_UNKNOWN]],
    ['an option that nobody knows', 4711, Buffer.alloc(10), [Reply.ERR_UNSUP]],
    ['STARTTLS without TLS', Option.STARTTLS, Buffer.alloc(0), [Reply.ERR_POLICY]],
    ['STRUCTURED_REPLY', Option.STRUCTURED_REPLY, Buffer.alloc(0), [ACK]],
    ['STRUCTURED_REPLY with data', Option.STRUCTURED_REPLY, Buffer.alloc(2), [Reply.ERR_INVALID]],
    ['EXTENDED_HEADERS', Option.EXTENDED_HEADERS, Buffer.alloc(0), [ACK]],
    [
      'EXTENDED_HEADERS twice',
      Option.EXTENDED_HEADERS,
      Buffer.alloc(0),
      [Reply.ERR_INVALID],
      [[Option.EXTENDED_HEADERS, Buffer.alloc(0)]],
    ],
    [
      'STRUCTURED_REPLY after EXTENDED_HEADERS',
      Option.STRUCTURED_REPLY,
      Buffer.alloc(0),
      [Reply.ERR_EXT_HEADER_REQD],
      [[Option.EXTENDED_HEADERS, Buffer.alloc(0)]],
    ],
    ['contexts without structured replies', Option.LIST_META_CONTEXT, metaQuery('', []), [Reply.ERR_INVALID]],
    ['the list of contexts', Option.LIST_META_CONTEXT, metaQuery('', []), [META_CONTEXT, ACK], STRUCTURED],
    [
      'the list below base:',
      Option.LIST_META_CONTEXT,
      metaQuery('', ['base:']),
      [META_CONTEXT, ACK],
      STRUCTURED,
    ],
    [
      'a context to use',
      Option.SET_META_CONTEXT,
      metaQuery('', ['base:allocation']),
      [META_CONTEXT, ACK],
      STRUCTURED,
    ],
    ['base: is none to use', Option.SET_META_CONTEXT, metaQuery('', ['base:']), [ACK], STRUCTURED],
    [
      'a context that there is not',
      Option.SET_META_CONTEXT,
      metaQuery('', ['qemu:dirty']),
      [ACK],
      STRUCTURED,
    ],
    [
      'contexts of a name that there is not',
      Option.SET_META_CONTEXT,
      metaQuery('other', ['base:allocation']),
      [Reply.ERR_UNKNOWN],
      STRUCTURED,
    ],
    [
      'one context that is asked for in several ways',
      Option.LIST_META_CONTEXT,
      metaQuery('', ['base:', 'qemu:', 'base:allocation', 'base:allocation', 'no colon', '']),
      [META_CONTEXT, ACK],
      STRUCTURED,
    ],
    [
      'several contexts, of which there is one',
      Option.SET_META_CONTEXT,
      metaQuery('', ['qemu:allocation-depth', 'base:allocation', 'x-own:thing', 'base:allocation']),
      [META_CONTEXT, ACK],
      STRUCTURED,
    ],
    [
      'more queries than there are',
      Option.SET_META_CONTEXT,
      Buffer.concat([u32(0), u32(0xffff_ffff)]),
      [Reply.ERR_INVALID],
      STRUCTURED,
    ],
  ];
for (const [title, option, data, expected, before = []] of rows) {
  test(`${title} is answered`, async (t) => {
    const { client } = await connect(t);
    for (const [code, bytes] of before) await client.option(code, bytes);
    t.deepEqual(types(await client.option(option, data)), expected);
    // Whatever it was, the negotiation goes on.
    t.deepEqual(types(await client.option(Option.LIST)), [SERVER, ACK]);
  });
}

test('INFO tells size, flags, block sizes and the canonical name', async (t) => {
  const { client } = await connect(t);
  const replies = await client.option(Option.INFO, goRequest('', [Info.NAME]));
  const [size, name, blocks] = replies.map(({ data }) => data);
  t.is(size.readBigUInt64BE(2), 1n << 20n);
  const flags = size.readUInt16BE(10);
  t.truthy(flags & TransmissionFlag.CAN_MULTI_CONN);
  t.falsy(flags & (TransmissionFlag.READ_ONLY | TransmissionFlag.SEND_DF));
  t.is(name.toString('latin1', 2), EXPORT_NAME);
  t.deepEqual(
    [blocks.readUInt32BE(2), blocks.readUInt32BE(6), blocks.readUInt32BE(10)],
    [512, 4096, 32 << 20],
  );
});

test('an option that is too long is read to its end and refused', async (t) => {
  const { client } = await connect(t);
  t.deepEqual(types(await client.option(Option.INFO, Buffer.alloc(100_000))), [Reply.ERR_TOO_BIG]);
  t.deepEqual(types(await client.option(Option.LIST)), [SERVER, ACK]);
});

test('ABORT is acknowledged however much comes with it', async (t) => {
  const { client } = await connect(t);
  t.deepEqual(types(await client.option(Option.ABORT, Buffer.alloc(100_000))), [ACK]);
  await client.hungUp();
});

test('contexts that were chosen before extended headers stay chosen', async (t) => {
  const { client } = await connect(t);
  await client.option(Option.STRUCTURED_REPLY);
  await client.option(Option.SET_META_CONTEXT, metaQuery('', ['base:allocation']));
  await client.option(Option.EXTENDED_HEADERS);
  await client.option(Option.GO, goRequest(''));
  client.extended = true;
  client.request({ type: Command.BLOCK_STATUS, length: 4096 });
  t.is((await client.chunk()).type, Chunk.BLOCK_STATUS_EXT);
});

test('ABORT is acknowledged before the server hangs up', async (t) => {
  const { client } = await connect(t);
  t.deepEqual(types(await client.option(Option.ABORT)), [ACK]);
  await client.hungUp();
  t.pass();
});

for (const [flags, zeroes] of [
  // A client of the newstyle before the fixed one, too.
  [0, 124],
  [1, 124],
  [2, 0],
  [3, 0],
]) {
  test(`EXPORT_NAME with client flags ${flags} is answered with ${zeroes} zeroes`, async (t) => {
    const { client } = await connect(t, flags);
    client.sendOption(Option.EXPORT_NAME, Buffer.from(EXPORT_NAME));
    const answer = await client.read(10 + zeroes);
    t.is(answer.readBigUInt64BE(0), 1n << 20n);
    client.request({ type: Command.READ, length: 512, cookie: 7 });
    t.like(await client.simpleReply(512), { error: 0, cookie: 7 });
  });
}

test('contexts of an export do not count for another choice of name', async (t) => {
  const { client, served } = await connect(t);
  t.is(served.server.find('')?.name, EXPORT_NAME);
  await client.option(Option.STRUCTURED_REPLY);
  await client.option(Option.SET_META_CONTEXT, metaQuery('', ['base:allocation']));
  // A later SET without it takes it away.
  await client.option(Option.SET_META_CONTEXT, metaQuery('', []));
  await client.option(Option.GO, goRequest(''));
  client.request({ type: Command.BLOCK_STATUS, length: 4096 });
  const { type, data } = await client.chunk();
  t.is(type, 0x8001);
  t.is(data.readUInt32BE(0), 22);
});

const breaches: [title: string, act: (client: NbdClient) => void, reason: RegExp][] = [
  ['an option without its magic', (client) => client.write(Buffer.alloc(16)), /without its magic/],
  [
    'EXPORT_NAME of nothing',
    (client) => client.sendOption(Option.EXPORT_NAME, Buffer.from('no\n')),
    /"no\?" does not/,
  ],
  [
    'EXPORT_NAME of a name that is too long to keep',
    (client) => client.sendOption(Option.EXPORT_NAME, Buffer.alloc(100_000)),
    /name that is too long/,
  ],
  [
    'EXPORT_NAME after extended headers',
    (client) => {
      client.sendOption(Option.EXTENDED_HEADERS);
      client.sendOption(Option.EXPORT_NAME, Buffer.from(EXPORT_NAME));
    },
    /EXPORT_NAME after extended headers/,
  ],
  [
    'more options than anybody needs',
    (client) => {
      for (let i = 0; i < 1001; i++) client.sendOption(Option.LIST);
    },
    /too many options/,
  ],
];
for (const [title, act, reason] of breaches) {
  test(`${title} ends the connection, and nobody else's`, async (t) => {
    const { client, served } = await connect(t);
    const other = await NbdClient.open(served.path);
    act(client);
    await client.hungUp();
    t.regex(served.endings.join(), reason);
    t.deepEqual(types(await other.option(Option.LIST)), [SERVER, ACK]);
    other.close();
  });
}

for (const flags of [0, 2]) {
  test(`client flags ${flags} and any option but EXPORT_NAME end the connection`, async (t) => {
    const { client, served } = await connect(t, flags);
    client.sendOption(Option.LIST);
    await client.hungUp();
    t.regex(served.endings.join(), /option 3 of a client that is not of the fixed newstyle/);
  });
}

for (const flags of [4, 7, 0x8000_0003]) {
  test(`client flags ${flags} end the connection`, async (t) => {
    const { client, served } = await connect(t, flags);
    await client.hungUp();
    t.regex(served.endings.join(), /client flags/);
  });
}
