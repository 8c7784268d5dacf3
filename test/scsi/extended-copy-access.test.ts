/** What an initiator may not do, it may not do through a copy (CVE-2020-28374, CVE-2021-3139). */
import test from 'ava';
import { OperationKind } from '../../src/scsi/backstore.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { both, copyDisks } from '../support/copy-disks.ts';
import { blocks, copyList, sendCopy } from '../support/copy-lists.ts';
import { outcome, sendOut, TYPES } from '../support/persistent-reservations.ts';
import { sameBytes } from '../support/same-bytes.ts';

const FORBIDDEN: {
  what: string;
  options?: Parameters<typeof copyDisks>[0];
  prepare?: (parts: ReturnType<typeof copyDisks>) => Promise<void> | void;
  /** From unit 0 to unit 1, and back. */
  write: string;
  read: string;
}[] = [
  { what: 'is not in its LUN map', options: { mapped: false }, write: 'a 0d02', read: 'a 0d02' },
  { what: 'is mapped read-only', options: { writeProtected: true }, write: 'a 0d01', read: 'good' },
  {
    what: 'is write-protected by SWP',
    prepare: ({ other }) => {
      other.disk.control.swp = true;
    },
    write: 'a 0d01',
    read: 'good',
  },
  {
    what: 'another reserved for writing',
    prepare: (parts) => reserve(parts, TYPES.WE),
    write: 'a 0d01',
    read: 'good',
  },
  {
    what: 'another reserved for itself',
    prepare: (parts) => reserve(parts, TYPES.EA),
    write: 'a 0d01',
    read: 'a 0d01',
  },
  {
    what: 'is stopped',
    prepare: ({ other }) => {
      other.disk.notReady = { sense: Sense.INITIALIZING_COMMAND_REQUIRED };
    },
    write: 'a 0d02',
    read: 'a 0d02',
  },
];
async function reserve({ core }: ReturnType<typeof copyDisks>, type: number): Promise<void> {
  const holder = core.connect('naa.5000000000000002');
  const send = (action: number, list: Uint8Array) =>
    holder.send({ lun: 1, cdb: [0x5f, action, type, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  const key = new Uint8Array(24).fill(1, 8, 16);
  await send(0, key);
  await send(1, key.slice().copyWithin(0, 8, 16));
}
for (const { what, options, prepare, write, read } of FORBIDDEN) {
  test(`a unit that ${what} is out of reach of a copy, too`, async (t) => {
    const parts = copyDisks(options);
    await prepare?.(parts);
    const { initiator, own, other } = parts;
    const before = { own: own.bytes.slice(), other: other.backstore.bytes.slice() };
    const to = await sendCopy(initiator, copyList(both(), [blocks(8, { destination: 1 })]));
    t.is(outcome(to), write);
    t.true(sameBytes(other.backstore.bytes, before.other), 'no byte written');
    const from = await sendCopy(initiator, copyList(both(), [blocks(8, { source: 1 })]));
    t.is(outcome(from), read);
    if (read !== 'good') t.true(sameBytes(own.bytes, before.own), 'no byte shown');
  });
}

test('a reservation that fences the initiator off the destination ends a copy at its next piece', async (t) => {
  const parts = copyDisks();
  const { core, initiator, other } = parts;
  other.backstore.hold = true;
  const copy = sendCopy(initiator, copyList(both(), [blocks(2048, { destination: 1 })]));
  await new Promise(setImmediate);
  t.is(other.backstore.held.length, 1);
  await reserve(parts, TYPES.WE);
  other.backstore.hold = false;
  other.backstore.releaseHeld();
  t.is(outcome(await copy), 'a 0d01');
  const written = other.backstore.log.filter(({ kind }) => kind === OperationKind.WRITE);
  t.deepEqual(
    written.map(({ offset }) => offset),
    [0],
  );
  t.is(core.environment.memory.outstanding, 0);
});

test('a reservation on the unit that gets the command keeps it out altogether', async (t) => {
  const { core, initiator } = copyDisks();
  const holder = core.connect('naa.5000000000000002');
  await sendOut(holder, 'register', { actionKey: 1 });
  await sendOut(holder, 'reserve', { key: 1, type: TYPES.WE });
  t.is(outcome(await sendCopy(initiator, copyList(both(), [blocks(8, { destination: 1 })]))), 'conflict');
});
