/** RECEIVE COPY RESULTS (SPC-4 6.22 to 6.26): what becomes of a copy, and what is promised. */
import test from 'ava';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { u16, u32 } from '../../src/scsi/bytes.ts';
import { Sense } from '../../src/scsi/sense-spec.ts';
import { both, commandSpecific, copyDisks } from '../support/copy-disks.ts';
import { blocks, copyCdb, copyList, receive, sendCopy } from '../support/copy-lists.ts';
import { outcome, unitAttentions } from '../support/persistent-reservations.ts';

test('RECEIVE COPY STATUS tells how far a copy came, to the initiator that sent it', async (t) => {
  const { core, initiator } = copyDisks();
  t.is(outcome(await receive(initiator, 0, 7)), '5 2400');
  const list = copyList(both(), [blocks(3, { destination: 1 }), blocks(2, { from: 2047 })], { listId: 7 });
  const failed = await sendCopy(initiator, list);
  t.is(outcome(failed), 'a 0000');
  t.is(commandSpecific(failed), 1, 'the segment that failed');
  t.deepEqual([...(await receive(initiator, 0, 7)).dataIn], [0, 0, 0, 8, 2, 0, 1, 0, 0, 0, 6, 0]);
  const details = (await receive(initiator, 4, 7)).dataIn;
  t.is(u32(details, 0), details.length - 4);
  t.is(details[56], 2);
  t.is(u16(details, 58), failed.sense.length);
  t.deepEqual(details.subarray(60), failed.sense);
  t.is(outcome(await receive(core.connect('naa.5000000000000002'), 0, 7)), '5 2400');
  t.is(outcome(await receive(initiator, 0, 7)), '5 2400', 'told once only');

  const again = copyList(both(), [blocks(3, { destination: 1 })], { listId: 7 });
  t.is(outcome(await sendCopy(initiator, again)), 'good');
  t.deepEqual([...(await receive(initiator, 0, 7)).dataIn], [0, 0, 0, 8, 1, 0, 1, 0, 0, 0, 6, 0]);
  t.is(outcome(await receive(initiator, 4, 7)), '5 2400', 'nothing failed');
});

test('a copy under way is seen as such, and its list identifier is taken', async (t) => {
  const { core, initiator } = copyDisks();
  core.backstore.hold = true;
  const list = copyList(both(), [blocks(3, { destination: 1 })], { listId: 5 });
  const copying = sendCopy(initiator, list);
  await new Promise((resolve) => setImmediate(resolve));
  t.is((await receive(initiator, 0, 5)).dataIn[4], 0);
  t.is(outcome(await sendCopy(initiator, list)), '5 0016');
  const unnamed = sendCopy(initiator, copyList(both(), [], { listId: 0, usage: 3 }));
  t.is(outcome(await unnamed), 'good');
  core.backstore.releaseHeld();
  t.is(outcome(await copying), 'good');
});

test('four copies run at once, the others wait their turn, and all end', async (t) => {
  const { core, initiator } = copyDisks();
  core.backstore.hold = true;
  const copies = Array.from({ length: 10 }, (_, i) =>
    sendCopy(initiator, copyList(both(), [blocks(1, { from: i, destination: 1, to: i })], { listId: i })),
  );
  await new Promise((resolve) => setImmediate(resolve));
  t.is(core.backstore.held.length, 4);
  core.backstore.hold = false;
  core.backstore.releaseHeld();
  for (const copy of copies) t.is(outcome(await copy), 'good');
  t.is(core.environment.memory.outstanding, 0);
});

test('a copy that is aborted stops at its next piece and gives everything back', async (t) => {
  const { core, initiator, other } = copyDisks();
  core.backstore.hold = true;
  const list = copyList(both(), [blocks(2000, { destination: 1 })], { listId: 5 });
  const { task, result } = initiator.start({ cdb: copyCdb(list.length), dataOut: list });
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise<void>((resolve) => core.disk.taskSet.abort([task], initiator.nexus, resolve));
  t.true((await result).aborted);
  t.is(other.backstore.log.length, 0);
  t.is(core.environment.memory.outstanding, 0);
  t.is(core.disk.rangeLocks.held, 0);
  core.backstore.hold = false;
  t.is((await receive(initiator, 0, 5)).dataIn[4], 2);
});

test('a failing medium on either side ends the copy', async (t) => {
  const { core, initiator, other } = copyDisks();
  const list = copyList(both(), [
    blocks(1, { destination: 1 }),
    blocks(8, { from: 8, destination: 1, to: 8 }),
  ]);
  core.backstore.fault = { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR, at: 10 * 512 };
  const unread = await sendCopy(initiator, list);
  t.is(outcome(unread), 'a 0d01');
  t.is(commandSpecific(unread), 1);
  core.backstore.fault = undefined;
  other.backstore.fault = { kind: OperationKind.WRITE, outcome: Outcome.NO_SPACE };
  t.is(outcome(await sendCopy(initiator, list)), 'a 0d01');
  t.is(core.environment.memory.outstanding, 0);
});

test('the results of 32 copies are kept, until reset or nexus loss', async (t) => {
  const { initiator, core } = copyDisks();
  for (let listId = 0; listId < 40; listId++) await sendCopy(initiator, copyList([], [], { listId }));
  t.is(outcome(await receive(initiator, 0, 7)), '5 2400');
  t.is(outcome(await receive(initiator, 0, 8)), 'good');
  core.disk.reset(Sense.BUS_DEVICE_RESET_FUNCTION_OCCURRED, undefined);
  await unitAttentions(initiator);
  t.is(outcome(await receive(initiator, 0, 8)), '5 2400');
});

test('RECEIVE COPY OPERATING PARAMETERS and VPD 8F promise the same', async (t) => {
  const { initiator } = copyDisks();
  const { dataIn: parameters } = await receive(initiator, 3);
  t.is(u32(parameters, 0), parameters.length - 4);
  t.deepEqual([u16(parameters, 8), u16(parameters, 10), u32(parameters, 12)], [64, 256, 10240]);
  t.is(u32(parameters, 16), 64 << 20);
  t.is(parameters[37], 9);
  t.deepEqual([...parameters.subarray(43)], [4, 0x02, 0x07, 0x0a, 0xe4]);

  const { dataIn: page } = await initiator.send({ cdb: [0x12, 1, 0x8f, 4, 0, 0], dataInLength: 1024 });
  t.is(u16(page, 2), page.length - 4);
  const descriptors = new Map<number, Uint8Array>();
  for (let at = 4; at < page.length; at += 4 + u16(page, at + 2)) {
    t.is(u16(page, at + 2) % 4, 0);
    descriptors.set(u16(page, at), page.subarray(at + 4, at + 4 + u16(page, at + 2)));
  }
  t.deepEqual([...descriptors.keys()], [0x0000, 0x0001, 0x0004, 0x0008, 0x000c, 0x0106, 0x0108, 0x8001]);
  t.deepEqual([...descriptors.get(1)!], [12, 0x83, 3, 0, 0x10, 0x11, 0x84, 5, 0, 3, 4, 5, 7, 0, 0, 0]);
  t.deepEqual([...descriptors.get(8)!], [4, 0x02, 0x07, 0x0a, 0xe4, 0, 0, 0]);
  t.deepEqual(descriptors.get(4)!.subarray(4, 12), parameters.subarray(8, 16));
});
