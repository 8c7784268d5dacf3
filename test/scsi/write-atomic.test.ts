import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { DamagedStateError } from '../../src/scsi/damaged-state-error.ts';
import { outcome, pattern } from '../support/block-cdbs.ts';
import { Core, type CoreOptions, TestStore } from '../support/core.ts';

function cdb(lba: number, blocks: number, flags = 0, boundary = 0): number[] {
  return [0x9c, flags, 0, 0, 0, 0, 0, 0, lba >> 8, lba & 0xff, 0, boundary, blocks >> 8, blocks & 0xff, 0, 0];
}

const rows: [string, CoreOptions, number[], number, string][] = [
  ['of one block', {}, cdb(5, 1), 512, 'GOOD'],
  ['of the maximum', {}, cdb(0, 2048), 2048 * 512, 'GOOD'],
  ['of more', { byteLength: 2 << 20 }, cdb(5, 2049), 2049 * 512, '5/24/00@12'],
  ['of no blocks', {}, cdb(5, 0), 0, 'GOOD'],
  ['of no blocks past the end', {}, cdb(2049, 0), 0, '5/21/00@2'],
  ['past the end', {}, cdb(2047, 2), 1024, '5/21/00@2'],
  ['with a boundary', {}, cdb(0, 1, 0, 1), 512, '5/24/00@10'],
  ['with WRPROTECT', {}, cdb(0, 1, 0x20), 512, '5/24/00@1.7'],
  ['with DPO and FUA', {}, cdb(0, 1, 0x18), 512, 'GOOD'],
  ['with too little data', {}, cdb(0, 2), 512, '5/24/00@12'],
  ['on a read-only disk', { capabilities: { readOnly: true } }, cdb(0, 1), 512, '7/27/00'],
];
for (const [title, options, bytes, length, expected] of rows) {
  test(`WRITE ATOMIC ${title}: ${expected}`, async (t) => {
    const store = new TestStore();
    const core = new Core({ ...options, store });
    const dataOut = pattern(length, 3);
    t.is(outcome(await core.initiator.send({ cdb: bytes, dataOut })), expected);
    if (expected === 'GOOD') {
      t.deepEqual(core.backstore.bytes.slice(bytes[9] * 512, bytes[9] * 512 + length), dataOut);
    } else {
      t.is(core.backstore.log.length, 0);
    }
    t.is(store.texts.get('atomic-write') ?? '', '');
    t.is(core.environment.memory.outstanding, 0);
  });
}

test('without a place for the journal, WRITE ATOMIC is not offered', async (t) => {
  const { initiator, disk } = new Core();
  t.is(disk.limits.maximumAtomicTransferLength, 0);
  t.is(outcome(await initiator.send({ cdb: cdb(0, 1), dataOut: new Uint8Array(512) })), '5/20/00@0');
});

test('a write that fails in its middle leaves the old blocks', async (t) => {
  const core = new Core({ store: new TestStore() });
  const { backstore } = core;
  const old = pattern(4 * 512, 1);
  backstore.bytes.set(old);
  backstore.hold = true;
  const result = core.initiator.send({ cdb: cdb(0, 4), dataOut: pattern(4 * 512, 2) });
  for (let step = 0; step < 3; step++) {
    await new Promise(setImmediate);
    const [held] = backstore.held.splice(0, 1);
    if (held.kind === OperationKind.WRITE && step === 1) {
      backstore.bytes.set(pattern(4 * 512, 2).subarray(0, 1024));
      held.finish(Outcome.MEDIUM_ERROR, 1024);
    } else {
      backstore.held.push(held);
      backstore.releaseHeld();
    }
  }
  t.is(outcome(await result), '3/0c/00 i2');
  t.deepEqual(backstore.bytes.slice(0, 4 * 512), old);
  t.is(core.environment.memory.outstanding, 0);
});

test('after a power loss in its middle, the next start puts the old blocks back first', async (t) => {
  const store = new TestStore();
  const first = new Core({ store });
  const old = pattern(4 * 512, 1);
  first.backstore.bytes.set(old);
  first.backstore.hold = true;
  void first.initiator.send({ cdb: cdb(0, 4), dataOut: pattern(4 * 512, 2) });
  await new Promise(setImmediate);
  first.backstore.releaseHeld();
  await new Promise(setImmediate);
  t.is(first.backstore.held[0].kind, OperationKind.WRITE);

  const torn = first.backstore.bytes.slice();
  torn.set(pattern(4 * 512, 2).subarray(0, 700));
  const second = new Core({ store, content: torn, hold: true });
  const early = await second.initiator.send({ cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 4, 0], dataInLength: 2048 });
  t.is(outcome(early), '2/04/01');
  second.backstore.hold = false;
  second.backstore.releaseHeld();
  await new Promise(setImmediate);
  const { dataIn } = await second.initiator.send({
    cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 4, 0],
    dataInLength: 2048,
  });
  t.deepEqual(dataIn, old);
  t.is(store.texts.get('atomic-write'), '');
});

test('a disk whose content is gone with the process needs no place for the journal', async (t) => {
  const core = new Core({ capabilities: { volatile: true } });
  const dataOut = pattern(1024, 1);
  t.is(outcome(await core.initiator.send({ cdb: cdb(0, 2), dataOut })), 'GOOD');
  t.deepEqual(core.backstore.bytes.slice(0, 1024), dataOut);
});

test('a journal that cannot be read keeps the disk from being served', async (t) => {
  const store = new TestStore();
  await store.save('atomic-write', '{"lba": 1, "bl');
  t.throws(() => new Core({ store }), { instanceOf: DamagedStateError, message: /atomic-write/ });
});

const aligned: [title: string, lba: number, blocks: number, expected: string][] = [
  ['in its place', 8, 4, 'GOOD'],
  ['at an LBA that is no multiple of the alignment', 4, 4, '5/24/00@2'],
  ['of a length that is no multiple of the granularity', 8, 3, '5/24/00@12'],
];
for (const [title, lba, blocks, expected] of aligned) {
  test(`where the disk wants alignment 8 and granularity 4, a write ${title} is answered ${expected}`, async (t) => {
    const attributes = { atomic_alignment: 8, atomic_granularity: 4 };
    const core = new Core({ capabilities: { volatile: true }, attributes });
    const dataOut = pattern(blocks * 512, 1);
    t.is(outcome(await core.initiator.send({ cdb: cdb(lba, blocks), dataOut })), expected);
  });
}
