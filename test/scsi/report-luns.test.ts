import test from 'ava';
import { u16, u32 } from '../../src/scsi/bytes.ts';
import { INVALID_LUN, MAX_LUN, REPORT_LUNS_WELL_KNOWN_LUN } from '../../src/scsi/lun-map.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';
import { ask, inquiry, REQUEST_SENSE, reportLuns, TEST_UNIT_READY } from '../support/primary-cdbs.ts';

function luns(data: Uint8Array): number[] {
  return Array.from({ length: u32(data, 0) / 8 }, (_, i) => u16(data, 8 + 8 * i));
}

function coreWithLuns(...extra: number[]): Core {
  const core = new Core();
  for (const lun of extra) core.lunMap.add(lun, core.disk);
  for (const itl of core.initiator.nexus.itlNexuses()) itl.unitAttentions.clearAll();
  return core;
}

const selects: [string, number, number[]][] = [
  ['00h: all but well-known units', 0x00, [0, 5, 0x4100]],
  ['01h: well-known units', 0x01, [0xc101]],
  ['02h: all', 0x02, [0, 5, 0x4100, 0xc101]],
  ['10h: administrative units', 0x10, []],
  ['11h: administrative units and those outside conglomerates', 0x11, [0, 5, 0x4100]],
  ['12h: the conglomerate of this unit', 0x12, []],
];

for (const [title, select, expected] of selects) {
  test(`select report ${title}`, async (t) => {
    const core = coreWithLuns(5, 256);
    for (const lun of [0, REPORT_LUNS_WELL_KNOWN_LUN, 77]) {
      t.deepEqual(luns((await ask(core.initiator, reportLuns(select), lun)).dataIn), expected);
    }
  });
}

test('an unknown select report is refused', async (t) => {
  t.is(outcome(await ask(new Core().initiator, reportLuns(0x03))), '5/24/00@2');
});

test('a list longer than the buffer is cut, and its length field is not', async (t) => {
  const core = coreWithLuns(...Array.from({ length: 300 }, (_, i) => i + 1));
  const { dataIn } = await ask(core.initiator, reportLuns(0, 16));
  t.is(dataIn.length, 16);
  t.is(u32(dataIn, 0), 301 * 8);
});

test('all 16384 LUNs that there can be are reported, in order, with flat addresses from 256 on', async (t) => {
  const core = new Core();
  for (let lun = 1; lun <= MAX_LUN; lun++) core.lunMap.add(lun, core.disk);
  const initiator = core.connect('naa.5000000000000002');
  const dataInLength = 8 + 8 * (MAX_LUN + 1);
  await initiator.send({ cdb: TEST_UNIT_READY });
  const { dataIn } = await initiator.send({ cdb: reportLuns(0, dataInLength), dataInLength });
  t.is(u32(dataIn, 0), 16384 * 8);
  const expected = Array.from({ length: 16384 }, (_, lun) => (lun < 256 ? lun : 0x4000 | lun));
  t.is(luns(dataIn).join(), expected.join());
});

test('REPORT LUNS ends the unit attention of a changed inventory, and no other', async (t) => {
  const core = coreWithLuns();
  core.lunMap.add(3, core.disk);
  t.is(outcome(await ask(core.initiator, reportLuns(0))), 'GOOD');
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY, lun: 3 })), '6/29/00');
});

test('a LUN without a unit says so in INQUIRY data and in sense data', async (t) => {
  const { initiator } = new Core();
  const standard = (await ask(initiator, inquiry(), 9)).dataIn;
  t.is(standard[0], 0x7f);
  t.is(standard[4] + 5, standard.length);
  t.is(outcome(await ask(initiator, inquiry(0x83), 9)), '5/25/00');
  const sense = (await ask(initiator, REQUEST_SENSE, 9)).dataIn;
  t.deepEqual([sense[2], sense[12]], [5, 0x25]);
  t.is(outcome(await initiator.send({ cdb: TEST_UNIT_READY, lun: 9 })), '5/25/00');
  t.is(outcome(await ask(initiator, reportLuns(0), INVALID_LUN)), '5/25/00');
});

test('the well-known unit runs its four commands and nothing else', async (t) => {
  const { initiator } = new Core();
  const lun = REPORT_LUNS_WELL_KNOWN_LUN;
  const standard = (await ask(initiator, inquiry(), lun)).dataIn;
  t.is(standard[0], 0x1e);
  t.deepEqual([...(await ask(initiator, inquiry(0x00), lun)).dataIn.subarray(4)], [0x00, 0x80, 0x83]);
  t.is(outcome(await ask(initiator, REQUEST_SENSE, lun)), 'GOOD');
  t.is(outcome(await initiator.send({ cdb: TEST_UNIT_READY, lun })), 'GOOD');
  t.is(outcome(await ask(initiator, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], lun)), '5/20/00@0');
});

test('a thousand LUNs that come one by one are news once on each, and again after it was heard', async (t) => {
  const { lunMap, disk, initiator } = new Core();
  const told: number[] = [];
  initiator.nexus.listener = {
    unitAdded: () => {},
    unitRemoved: () => {},
    unitAttention: (lun) => told.push(lun),
  };
  const COUNT = 1000;
  for (let lun = 1; lun <= COUNT; lun++) lunMap.add(lun, disk);
  // All but the last one, which was there when the list was read that names it.
  t.is(told.length, COUNT + 1);
  t.is(new Set(told).size, COUNT + 1);
  t.false(told.includes(COUNT));
  t.is(outcome(await ask(initiator, TEST_UNIT_READY, 0)), '6/3f/0e');
  lunMap.remove(COUNT);
  t.is(outcome(await ask(initiator, TEST_UNIT_READY, 0)), '6/3f/0e');
  t.is(told.length, COUNT + 2);
  await ask(initiator, reportLuns(0), 0);
  t.is(outcome(await ask(initiator, TEST_UNIT_READY, 0)), 'GOOD');
  lunMap.remove(COUNT - 1);
  t.is(told.length, COUNT + 2 + COUNT);
});
