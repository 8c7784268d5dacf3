import test from 'ava';
import { putU16, putU32, u16, u32 } from '../../src/scsi/bytes.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';
import { ask } from '../support/primary-cdbs.ts';

const RCTD = 0x80;

function rsoc(options: number, opcode = 0, serviceAction = 0, allocationLength = 8192): Uint8Array {
  const cdb = new Uint8Array(12);
  cdb.set([0xa3, 0x0c, options, opcode]);
  putU16(cdb, 4, serviceAction);
  putU32(cdb, 6, allocationLength);
  return cdb;
}

for (const [title, flag, size] of [
  ['without timeouts', 0, 8],
  ['with timeouts', RCTD, 20],
] as const) {
  test(`all commands ${title} are the rows of the table`, async (t) => {
    const { initiator, disk } = new Core();
    const { dataIn } = await ask(initiator, rsoc(flag));
    t.is(u32(dataIn, 0), dataIn.length - 4);
    const rows = disk.commands.rows.filter((row) => row.supported?.(disk) ?? true);
    t.is((dataIn.length - 4) / size, rows.length);
    for (const [i, row] of rows.entries()) {
      const at = 4 + i * size;
      t.is(dataIn[at], row.opcode);
      t.is(u16(dataIn, at + 2), row.serviceAction ?? 0);
      t.is(dataIn[at + 5], (flag === RCTD ? 2 : 0) | (row.serviceAction === undefined ? 0 : 1), row.name);
      t.is(u16(dataIn, at + 6), row.cdbLength);
      if (flag === RCTD) t.deepEqual([u16(dataIn, at + 8), u32(dataIn, at + 12)], [10, row.timeout]);
    }
  });
}

test('each command on its own returns its usage mask', async (t) => {
  const { initiator, disk } = new Core();
  for (const row of disk.commands.rows.filter(({ supported }) => supported?.(disk) ?? true)) {
    const options = row.serviceAction === undefined ? 1 : 2;
    const { dataIn } = await ask(initiator, rsoc(options, row.opcode, row.serviceAction));
    t.is(dataIn[1], 3, row.name);
    t.is(u16(dataIn, 2), row.cdbLength);
    t.deepEqual([...dataIn.subarray(4)], [...row.usage]);
    const either = await ask(initiator, rsoc(3, row.opcode, row.serviceAction));
    t.deepEqual(either.dataIn, dataIn);
    const timed = await ask(initiator, rsoc(RCTD | options, row.opcode, row.serviceAction));
    t.is(timed.dataIn[1], 0x83);
    t.is(timed.dataIn.length, dataIn.length + 12);
  }
});

test('usage masks name the opcode and, where there is one, the service action', (t) => {
  for (const { name, opcode, serviceAction, usage } of new Core().disk.commands.rows) {
    t.is(usage[0], opcode, name);
    if (serviceAction === undefined) continue;
    if (opcode === 0x7f) t.is((usage[8] << 8) | usage[9], serviceAction, name);
    else t.is(usage[1] & 0x1f, serviceAction, name);
  }
});

const refusals: [string, Uint8Array, string][] = [
  ['option 1 for an opcode with service actions', rsoc(1, 0xa3), '5/24/00@2.2'],
  ['option 2 for an opcode without', rsoc(2, 0x28), '5/24/00@2.2'],
  ['reserved options', rsoc(4), '5/24/00@2.2'],
];

for (const [title, cdb, expected] of refusals) {
  test(`REPORT SUPPORTED OPERATION CODES refuses ${title}`, async (t) => {
    t.is(outcome(await ask(new Core().initiator, cdb)), expected);
  });
}

const unsupported: [string, Uint8Array][] = [
  ['an unknown opcode', rsoc(1, 0xc0)],
  ['an unknown service action', rsoc(2, 0xa3, 0x1f)],
  ['a service action of an opcode that has none', rsoc(3, 0x28, 1)],
  ['a command that this unit leaves out', rsoc(1, 0x1e)],
];

for (const [title, cdb] of unsupported) {
  test(`${title} is reported as not supported`, async (t) => {
    const { dataIn } = await ask(new Core().initiator, cdb);
    t.deepEqual([...dataIn], [0, 1, 0, 0]);
  });
}

test('emulate_rsoc turns the command off', async (t) => {
  const { initiator } = new Core({ attributes: { emulate_rsoc: 0 } });
  const result = outcome(await ask(initiator, rsoc(0)));
  t.true(result.startsWith('5/2'));
});

test('the answer is cut to the allocation length', async (t) => {
  const { dataIn } = await ask(new Core().initiator, rsoc(0, 0, 0, 10));
  t.is(dataIn.length, 10);
});

test('task management functions are told short, and long with timeouts', async (t) => {
  const { initiator } = new Core();
  const cdb = (repd: number) => [0xa3, 0x0d, repd, 0, 0, 0, 0, 0, 1, 0, 0, 0];
  t.deepEqual([...(await ask(initiator, cdb(0))).dataIn], [0xfc, 0x07, 0, 0]);
  const long = (await ask(initiator, cdb(0x80))).dataIn;
  t.deepEqual([long.length, long[0], long[1], long[3], long[4]], [16, 0xfc, 0x07, 12, 1]);
});
