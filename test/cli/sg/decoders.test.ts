/** Our decoders beside those of sg3-utils and sdparm, on the same disk: where both name a field, they must agree. */
import test from 'ava';
import type { Decoded, Value } from '../../../src/cli/sg/decoded.ts';
import { parsePage } from '../../../src/cli/sg/page-name.ts';
import { type PersistOptions, persist } from '../../../src/cli/sg/persist.ts';
import * as reports from '../../../src/cli/sg/reports.ts';
import { SgSession } from '../../../src/cli/sg/session.ts';
import { Core, TestStore } from '../../support/core.ts';
import { compileShim, SgIoServer } from '../../support/sg-io/sg-io-server.ts';

let shim: { path: string; remove: () => void };
test.before(async () => {
  shim = await compileShim();
});
test.after.always(() => shim.remove());

type Report = (session: SgSession) => Promise<Decoded>;

/** What a tool and a report of ours say of one disk that has seen some work. */
async function compare(line: string, report: Report): Promise<{ tool: string; ours: Decoded }> {
  const core = new Core({ store: new TestStore(), byteLength: 1 << 22 });
  core.connect('naa.5000000000000009', 2);
  const session = new SgSession(core.initiator, 'test');
  await session.run('WRITE(10)', { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 4, 0], dataOut: new Uint8Array(2048) });
  await session.run('READ(10)', { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 3, 0], dataInLength: 1536 });
  const server = new SgIoServer(core.initiator, shim.path);
  try {
    const { exit, text } = await server.run(line);
    if (exit !== 0) throw new Error(`${line}: ${text}`);
    return { tool: text, ours: await report(session) };
  } finally {
    server.close();
  }
}

/** `LBPRZ=1`, `Maximum transfer length: 64 blocks`, `  WCE  1  [cha: y`: names in our spelling, and numbers. */
function namedNumbers(tool: string): Map<string, number> {
  const found = new Map<string, number>();
  const named =
    /([A-Za-z3][A-Za-z0-9_ -]*?)\)?(?::[ \t]+|=[ \t]*|[ \t]{2,})(?:\(ms\) )?(0x[0-9a-f]+|\d+)(?![\w.])/g;
  for (const [, name, value] of tool.matchAll(named))
    found.set(name.trim().toLowerCase().replace(/[ -]/g, '_'), Number(value));
  return found;
}

/** Every number in `decoded`, by the name next to it. */
function* numbers(decoded: Decoded): Iterable<[string, number]> {
  for (const [name, value] of Object.entries(decoded)) {
    if (typeof value === 'number') yield [name, value];
    else if (typeof value === 'object') yield* numbersIn(value);
  }
}

function* numbersIn(value: Value): Iterable<[string, number]> {
  if (Array.isArray(value)) for (const item of value as readonly Value[]) yield* numbersIn(item);
  else if (typeof value === 'object') yield* numbers(value as Decoded);
}

const run = (options: Partial<PersistOptions>) =>
  persist({ paramRk: '0', paramSark: '0', proutType: '0', ...options }) as Report;

const vpd = (page: string) => reports.vpdPage(parsePage('vpd', page));
const mode = (page: string) => reports.modePages(parsePage('mode', page), 0);
const log = (page: string) => reports.logPage(parsePage('log', page));

const numeric: [line: string, report: Report, inCommon: number][] = [
  ['sg_inq DEVICE', reports.standardInquiry, 13],
  ['sg_vpd -p bl DEVICE', vpd('bl'), 12],
  ['sg_vpd -p lbpv DEVICE', vpd('lbpv'), 7],
  ['sg_vpd -p bdc DEVICE', vpd('bdc'), 4],
  ['sg_vpd -p ei DEVICE', vpd('ei'), 15],
  ['sg_vpd -p pc DEVICE', vpd('pc'), 5],
  ['sg_readcap -l DEVICE', reports.capacity, 3],
  ['sdparm -p ca --long DEVICE', mode('ca'), 14],
  ['sdparm -p co --long DEVICE', mode('co'), 10],
  ['sdparm -p coe --long DEVICE', mode('coe'), 3],
  ['sdparm -p ie --long DEVICE', mode('ie'), 8],
  ['sdparm -p rw --long DEVICE', mode('rw'), 6],
  ['sg_logs -p 2 DEVICE', log('2'), 1],
  ['sg_logs -p 3 DEVICE', log('3'), 1],
  ['sg_logs -p 0x19 DEVICE', log('0x19'), 4],
  ['sg_logs -p 0xe DEVICE', log('0xe'), 1],
];

for (const [line, report, inCommon] of numeric) {
  test(`${line} and lunport sg agree`, async (t) => {
    const { tool, ours } = await compare(line, report);
    const theirs = namedNumbers(tool);
    const both = [...numbers(ours)].filter(([name]) => theirs.has(name));
    t.deepEqual(
      both,
      both.map(([name]) => [name, theirs.get(name)!]),
      tool,
    );
    t.true(
      both.length >= inCommon,
      `${both.map(([name]) => name).join(' ')}\n${[...theirs.keys()].join(' ')}`,
    );
  });
}

/** Where the tools write sentences: what they must say, and what ours must have. */
const worded: [line: string, says: RegExp, report: Report, has: RegExp][] = [
  [
    'sg_vpd -p di DEVICE',
    /0x600140500102030405060708090a0b0c/,
    vpd('di'),
    /"600140500102030405060708090a0b0c"/,
  ],
  [
    'sg_vpd -p di DEVICE',
    /Relative target port: 0x1/,
    vpd('di'),
    /"relative target port",[^}]*"designator":1\b/,
  ],
  ['sg_vpd -p sp DEVICE', /Relative port=2/, vpd('sp'), /"relative_port":2/],
  ['sg_vpd -p sn DEVICE', /0123456789abcdef/, vpd('sn'), /"unit_serial_number":"0123456789abcdef"/],
  [
    'sg_vpd -p mpp DEVICE',
    /Policy page code: 0x3f, {2}subpage code: 0xff[\s\S]*MLUS=0/,
    vpd('mpp'),
    /"page":63,"subpage":255,"mlus":0,"policy":0/,
  ],
  ['sg_luns -s 2 DEVICE', /c101000000000000/, reports.luns(2), /"c101000000000000"/],
  [
    'sg_opcodes -o 0x12 -R DEVICE',
    /nominal timeout: 10 secs/,
    reports.operationCodes,
    /"0x12"[^}]*"nominal_timeout":10,/,
  ],
  [
    'sg_opcodes -t -q DEVICE',
    /Abort task[\s\S]*I_T nexus reset/,
    reports.taskManagement,
    /"abort_task":1[\s\S]*"i_t_nexus_reset":1/,
  ],
  [
    'sg_persist --in -c DEVICE',
    /\(RLR_C\): 1[\s\S]*\(ATP_C\): 1/,
    run({ reportCapabilities: true }),
    /"rlr_c":1[\s\S]*"atp_c":1/,
  ],
  ['sg_logs -p 0xd DEVICE', /not available|<not/, log('0xd'), /"celsius":"not available"/],
];

for (const [line, says, report, has] of worded) {
  test(`${line} says ${says.source}, and so does lunport sg`, async (t) => {
    const { tool, ours } = await compare(line, report);
    t.regex(tool, says);
    t.regex(JSON.stringify(ours), has);
  });
}

test('registrations and a reservation are read as sg_persist reads them', async (t) => {
  const core = new Core({ store: new TestStore() });
  const session = new SgSession(core.initiator, 'test');
  const server = new SgIoServer(core.initiator, shim.path);
  t.teardown(() => server.close());
  await run({ register: true, paramSark: 'abc' })(session);
  await run({ reserve: true, paramRk: '0xabc', proutType: '5' })(session);
  const { text } = await server.run('sg_persist --in -s DEVICE');
  t.regex(text, /Key=0xabc[\s\S]*Write Exclusive, registrants only[\s\S]*SAS address: 0x5000000000000001/);
  t.deepEqual(await run({ readFullStatus: true })(session), {
    prgeneration: 1,
    registrations: [
      {
        key: '0xabc',
        holds_reservation: true,
        type: 'write exclusive registrants only',
        relative_target_port: 1,
        transport_id: 'naa.5000000000000001',
      },
    ],
  });
  await run({ release: true, paramRk: 'abc', proutType: '5' })(session);
  t.deepEqual(await run({ readReservation: true })(session), { prgeneration: 1, held: false });
});

test('every page that the disk lists is decoded by name', async (t) => {
  const core = new Core({ store: new TestStore() });
  const session = new SgSession(core.initiator, 'test');
  const everything = [
    await reports.allVpdPages(session),
    await reports.allLogPages(session),
    await reports.modePages(reports.ALL_MODE_PAGES, 0)(session),
  ];
  t.notRegex(JSON.stringify(everything), /unknown|"bytes":(?!"[0-9a-f]*"\})/);
});
