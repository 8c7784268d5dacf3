/**
 * CDB USAGE DATA is what the device server enforces: for all 256 opcodes and every service action, each bit that
 * the mask forbids is refused with a pointer to it, and the medium is not touched.
 */
import test from 'ava';
import { blockDeviceCommands } from '../../src/scsi/block-device-commands.ts';
import type { CommandRow } from '../../src/scsi/command.ts';
import { cdbLengthOf, serviceActionOf } from '../../src/scsi/command.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core, TestStore } from '../support/core.ts';

/** A disk on which every row is supported. */
function complete(): Core {
  return new Core({ store: new TestStore(), removable: true });
}

/** The row's opcode, service action and nothing else. */
function bareCdb(row: CommandRow): Uint8Array {
  const cdb = new Uint8Array(row.cdbLength);
  cdb[0] = row.opcode;
  if (row.serviceAction === undefined) return cdb;
  if (row.opcode === VARIABLE_LENGTH) {
    cdb[7] = row.cdbLength - 8;
    cdb[8] = row.serviceAction >> 8;
    cdb[9] = row.serviceAction;
  } else {
    cdb[1] = row.serviceAction;
  }
  return cdb;
}

const VARIABLE_LENGTH = 0x7f;

/** Bits of byte `i` that say which command it is. */
function identifyingBits(row: CommandRow, i: number): number {
  if (i === 0) return 0xff;
  if (row.serviceAction === undefined) return 0;
  if (row.opcode === VARIABLE_LENGTH) return i === 7 || i === 8 || i === 9 ? 0xff : 0;
  return i === 1 ? 0x1f : 0;
}

for (const row of blockDeviceCommands.rows) {
  test(`${row.name} refuses every bit outside its usage mask`, async (t) => {
    const core = complete();
    if (row.supported !== undefined && !row.supported(core.disk)) {
      t.pass('offered by other units only');
      return;
    }
    let refused = 0;
    for (let i = 1; i < row.cdbLength; i++) {
      for (let bit = 7; bit >= 0; bit--) {
        if (((row.usage[i] | identifyingBits(row, i)) & (1 << bit)) !== 0) continue;
        const cdb = bareCdb(row);
        cdb[i] |= 1 << bit;
        const result = await core.initiator.send({ cdb, dataOut: new Uint8Array(4096), dataInLength: 4096 });
        t.is(outcome(result), `5/24/00@${i}.${bit}`, `${row.name}: byte ${i}, bit ${bit}`);
        refused++;
      }
    }
    t.true(refused > 0, 'a mask that forbids nothing');
    t.is(core.backstore.log.length, 0);
  });

  test(`${row.name} has a mask for its own opcode and a length for its group`, (t) => {
    const cdb = bareCdb(row);
    t.is(row.usage[0], row.opcode);
    t.is(cdbLengthOf(cdb), row.cdbLength);
    if (row.serviceAction !== undefined) t.is(serviceActionOf(Uint8Array.from(row.usage)), row.serviceAction);
  });
}

test('an opcode that is not in the table is an invalid operation code, whatever its other bytes', async (t) => {
  const core = complete();
  for (let opcode = 0; opcode < 256; opcode++) {
    if (blockDeviceCommands.rows.some((row) => row.opcode === opcode)) continue;
    // Anything but NACA, which would keep the next command out.
    for (const fill of [0x00, 0xfb, 0x5a]) {
      const cdb = new Uint8Array(16).fill(fill);
      cdb[0] = opcode;
      const result = await core.initiator.send({ cdb, dataOut: new Uint8Array(512), dataInLength: 512 });
      t.is(outcome(result), '5/20/00@0', `opcode ${opcode.toString(16)}`);
    }
  }
  t.is(core.backstore.log.length, 0);
});

test('a service action that is not in the table is an invalid field', async (t) => {
  const core = complete();
  const opcodes = new Set(blockDeviceCommands.rows.map(({ opcode }) => opcode));
  for (const opcode of opcodes) {
    if (!blockDeviceCommands.hasServiceActions(opcode)) continue;
    const variable = opcode === VARIABLE_LENGTH;
    // An opcode of which the unit offers no form is no opcode at all.
    const offered = blockDeviceCommands.rows.some(
      (row) => row.opcode === opcode && (row.supported === undefined || row.supported(core.disk)),
    );
    const expected = !offered ? '5/20/00@0' : variable ? '5/24/00@8' : '5/24/00@1.4';
    for (let action = 0; action < (variable ? 0x40 : 0x20); action++) {
      if (blockDeviceCommands.find(opcode, action) !== undefined) continue;
      const cdb = new Uint8Array(32);
      cdb[0] = opcode;
      if (variable) cdb[9] = action;
      else cdb[1] = action;
      const result = await core.initiator.send({ cdb, dataOut: new Uint8Array(512), dataInLength: 512 });
      t.is(outcome(result), expected, `${opcode.toString(16)}/${action}`);
    }
  }
  t.is(core.backstore.log.length, 0);
});

test('a CDB shorter than its command is refused where it ends', async (t) => {
  const core = complete();
  for (const row of blockDeviceCommands.rows) {
    // Without its service action a CDB is another command, or none.
    const shortest = row.opcode === VARIABLE_LENGTH ? 10 : 2;
    if (row.supported !== undefined && !row.supported(core.disk)) continue;
    for (const length of new Set([shortest, row.cdbLength - 1])) {
      const result = await core.initiator.send({ cdb: bareCdb(row).subarray(0, length) });
      t.is(outcome(result), `5/24/00@${length}`, row.name);
    }
  }
  t.is(core.backstore.log.length, 0);
});
