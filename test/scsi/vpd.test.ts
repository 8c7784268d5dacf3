import test from 'ava';
import { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { toHex, u16, u32, u64 } from '../../src/scsi/bytes.ts';
import { Nexus } from '../../src/scsi/nexus.ts';
import { Core, type CoreOptions, TEST_IDENTITY } from '../support/core.ts';
import { ask, inquiry } from '../support/primary-cdbs.ts';

const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

async function page(core: Core, code: number): Promise<Uint8Array> {
  return (await ask(core.initiator, inquiry(code, 4096))).dataIn;
}

interface Designator {
  readonly codeSet: number;
  readonly association: number;
  readonly type: number;
  readonly protocol: number | undefined;
  readonly value: Uint8Array;
}

function designators(data: Uint8Array): Designator[] {
  const found: Designator[] = [];
  for (let at = 4; at < data.length; at += 4 + data[at + 3]) {
    found.push({
      codeSet: data[at] & 0x0f,
      association: (data[at + 1] >> 4) & 3,
      type: data[at + 1] & 0x0f,
      protocol: (data[at + 1] & 0x80) !== 0 ? data[at] >> 4 : undefined,
      value: data.slice(at + 4, at + 4 + data[at + 3]),
    });
  }
  return found;
}

test('page 00 lists all pages in ascending order, and each can be read', async (t) => {
  const core = new Core();
  const list = await page(core, 0x00);
  const codes = [...list.subarray(4)];
  t.is(u16(list, 2), codes.length);
  t.deepEqual(
    codes,
    [...codes].sort((a, b) => a - b),
  );
  for (const required of [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]) t.true(codes.includes(required));
  for (const code of codes) {
    const data = await page(core, code);
    t.is(data[0], 0);
    t.is(data[1], code);
    t.is(u16(data, 2) + 4, data.length, `page ${code.toString(16)}`);
  }
});

test('page 80 is the serial number', async (t) => {
  const data = await page(new Core(), 0x80);
  t.is(text(data.subarray(4)), TEST_IDENTITY.serial);
});

test('page 83 names the unit in three ways, the same on every path', async (t) => {
  const core = new Core();
  const unitNames = (data: Uint8Array) => designators(data).filter(({ association }) => association === 0);
  const first = unitNames(await page(core, 0x83));
  t.deepEqual(
    first.map(({ type, codeSet }) => [type, codeSet]),
    [
      [3, 1],
      [1, 2],
      [8, 3],
    ],
  );
  t.deepEqual(first[0].value, TEST_IDENTITY.naa);
  t.is(text(first[1].value), 'LUNPORT TEST DISK       0123456789abcdef');
  t.is(text(first[2].value), 'naa.600140500102030405060708090A0B0C\0\0\0\0');
  const other = core.connect('naa.5000000000000002', 2);
  t.deepEqual(unitNames((await ask(other, inquiry(0x83, 4096))).dataIn), first);
});

test('page 83 names the port through which the initiator came', async (t) => {
  const core = new Core();
  const other = core.connect('naa.5000000000000002', 7);
  const found = designators((await ask(other, inquiry(0x83, 4096))).dataIn);
  const ports = found.filter(({ association }) => association === 1);
  t.true(ports.every(({ protocol }) => protocol === 6));
  t.deepEqual(ports.find(({ type }) => type === 3)!.value, Uint8Array.of(0x50, 1, 0x40, 0x50, 0, 0, 0, 7));
  t.deepEqual(ports.find(({ type }) => type === 4)!.value, Uint8Array.of(0, 0, 0, 7));
});

test('page 83 names an iSCSI port and device by their name strings', async (t) => {
  const core = new Core();
  const nexus = new Nexus(
    { name: 'iqn.2026-01.example:host', transportId: new Uint8Array(24) },
    { name: 'iqn.2026-01.example:disks,t,0x0001', relativeId: 1, protocol: 5, portalGroupTag: 1 },
    core.lunMap,
  );
  const { dataIn } = await ask(new Initiator(nexus, core.environment), inquiry(0x83, 4096));
  const names = designators(dataIn).filter(({ type, association }) => type === 8 && association > 0);
  t.deepEqual(
    names.map(({ association, protocol, value }) => [association, protocol, text(value).replace(/\0+$/, '')]),
    [
      [1, 5, 'iqn.2026-01.example:disks,t,0x0001'],
      [2, 5, 'iqn.2026-01.example:disks'],
    ],
  );
  t.true(names.every(({ value }) => value.length % 4 === 0 && value.at(-1) === 0));
});

test('page B0 tells the limits that the commands check', async (t) => {
  const core = new Core();
  const data = await page(core, 0xb0);
  const { limits } = core.disk;
  t.is(data.length, 64);
  t.is(data[5], limits.maximumCompareAndWriteLength);
  t.is(u16(data, 6), limits.optimalTransferLengthGranularity);
  t.is(u32(data, 8), limits.maximumTransferLength);
  t.is(u32(data, 12), limits.optimalTransferLength);
  t.is(u32(data, 20), limits.maximumUnmapLbaCount);
  t.is(u32(data, 24), limits.maximumUnmapBlockDescriptorCount);
  t.is(u32(data, 28), limits.optimalUnmapGranularity);
  t.is(u32(data, 32), 0x8000_0000 + limits.unmapGranularityAlignment);
  t.is(u64(data, 36), limits.maximumWriteSameLength);
  t.is(u32(data, 44), limits.maximumAtomicTransferLength);
});

const dresses: [string, CoreOptions, { rotation: number; lbp: number; type: number }][] = [
  ['thin, reading zeroes', {}, { rotation: 1, lbp: 0xe4, type: 2 }],
  [
    'thin, content unknown after unmap',
    { capabilities: { unmapReadsZero: false } },
    { rotation: 1, lbp: 0xe0, type: 2 },
  ],
  ['without unmap', { capabilities: { unmap: false } }, { rotation: 1, lbp: 0, type: 0 }],
  ['UNMAP command off', { attributes: { emulate_tpu: 0 } }, { rotation: 1, lbp: 0x64, type: 2 }],
  ['on a disk that spins', { capabilities: { rotational: true } }, { rotation: 0, lbp: 0xe4, type: 2 }],
  ['said to spin', { attributes: { is_nonrot: 0 } }, { rotation: 0, lbp: 0xe4, type: 2 }],
];

for (const [title, options, { rotation, lbp, type }] of dresses) {
  test(`pages B1 and B2 of a disk ${title}`, async (t) => {
    const core = new Core(options);
    t.is(u16(await page(core, 0xb1), 4), rotation);
    const provisioning = await page(core, 0xb2);
    t.is(provisioning[5], lbp);
    t.is(provisioning[6], type);
  });
}

test('page 86 tells the abilities that no command tells', async (t) => {
  const data = await page(new Core(), 0x86);
  t.is(data.length, 64);
  t.is(data[5], 0x07, 'HEADSUP, ORDSUP, SIMPSUP');
  t.is(data[6], 0x01, 'V_SUP');
  t.is(data[7], 0x01, 'LUICLR');
  t.is(data[8], 0x18, 'RTD_SUP');
  t.is(data[13], 252);
  t.is((await page(new Core({ capabilities: { volatileCache: false } }), 0x86))[6], 0);
  t.is(data[4], 0);
  t.is((await page(new Core({ protection: true }), 0x86))[4], 0x3f, 'SPT, GRD_CHK, APP_CHK, REF_CHK');
});

test('page 87 says that mode pages are shared', async (t) => {
  t.deepEqual([...(await page(new Core(), 0x87)).subarray(4)], [0x3f, 0xff, 0, 0]);
});

test('page 88 lists the ports with their names, and MULTIP says that there are several', async (t) => {
  const core = new Core();
  const multip = async () => (await ask(core.initiator, inquiry())).dataIn[6] & 0x10;
  t.is(await multip(), 0);
  core.connect('naa.5000000000000002', 3);
  t.is(await multip(), 0x10);
  const data = await page(core, 0x88);
  const ports: [number, string][] = [];
  for (let at = 4; at < data.length; at += 12 + u16(data, at + 10)) {
    const name = data.subarray(at + 12 + 4, at + 12 + u16(data, at + 10));
    ports.push([u16(data, at + 2), toHex(name)]);
  }
  t.deepEqual(ports, [
    [1, '5001405000000001'],
    [3, '5001405000000003'],
  ]);
});

test('page 8A names the power conditions of START STOP UNIT', async (t) => {
  const data = await page(new Core(), 0x8a);
  t.is(data.length, 18);
  t.deepEqual([...data.subarray(4, 6)], [0x03, 0x07]);
});
