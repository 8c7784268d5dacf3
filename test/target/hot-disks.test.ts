/** Disks that come, go and grow while the target is served, by the control socket's operations. */
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { u32 } from '../../src/scsi/bytes.ts';
import { Nexus } from '../../src/scsi/nexus.ts';
import { sasTransportId } from '../../src/target/disk-identity.ts';
import { outcome, pattern } from '../support/block-cdbs.ts';
import { type Controlled, startControlled } from '../support/control.ts';
import { CAN_HANG, hangingFile } from '../support/hanging-file.ts';
import { TEST_UNIT_READY } from '../support/primary-cdbs.ts';

interface Lun {
  readonly lun: number;
  readonly size: number;
  readonly changed?: boolean;
}

const NAME = 'naa.5000000000000009';
const WRITE = [0x2a, 0, 0, 0, 0, 5, 0, 0, 1, 0];
const READ_CAPACITY = { cdb: [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], dataInLength: 8 };

async function controlled(t: ExecutionContext, ...disks: string[]): Promise<Controlled> {
  const started = await startControlled(disks);
  t.teardown(() => started.close());
  return started;
}

function image(folder: string, name: string, size = 1 << 20): string {
  const path = join(folder, name);
  writeFileSync(path, new Uint8Array(size));
  return path;
}

/** Somebody on the target, past the unit attentions of power-on. */
async function connect({ server }: Controlled): Promise<Initiator> {
  const [{ lunMap, name }] = server.targets;
  const port = { name: NAME, transportId: sasTransportId(NAME) };
  const nexus = new Nexus(port, { name, relativeId: 9, protocol: 6 }, lunMap);
  for (const itl of nexus.itlNexuses()) itl.unitAttentions.clearAll();
  return new Initiator(nexus, server.shard.environment);
}

test('a disk is added at the lowest LUN that is free, and everybody is told', async (t) => {
  const it = await controlled(t, 'ram:1M');
  const initiator = await connect(it);
  const added = (await it.client.call('add', { disk: 'ram:2M' })) as unknown as Lun;
  t.is(added.lun, 1);
  t.is(added.size, 2 << 20);
  t.is(outcome(await initiator.send({ cdb: TEST_UNIT_READY })), '6/3f/0e');
  t.is(outcome(await initiator.send({ lun: 1, cdb: TEST_UNIT_READY })), '6/29/00');
  t.is(outcome(await initiator.send({ lun: 1, cdb: WRITE, dataOut: pattern(512, 1) })), 'GOOD');
});

test('a removed disk is gone for everybody, durable, unlocked and can be added again', async (t) => {
  const it = await controlled(t, 'ram:1M');
  const path = image(it.folder, 'disk.img');
  const initiator = await connect(it);
  await it.client.call('add', { disk: 'disk.img', directory: it.folder, lun: 7 });
  await initiator.send({ lun: 7, cdb: TEST_UNIT_READY });
  t.is(outcome(await initiator.send({ lun: 7, cdb: WRITE, dataOut: pattern(512, 1) })), 'GOOD');
  await it.client.call('remove', { lun: 7 });
  t.deepEqual(readFileSync(path).subarray(5 * 512, 6 * 512), Buffer.from(pattern(512, 1)));
  t.is(outcome(await initiator.send({ lun: 7, cdb: TEST_UNIT_READY })), '5/25/00');
  t.is(((await it.client.call('add', { disk: path })) as unknown as Lun).lun, 1);
});

test('what runs when its disk is removed ends, and nothing is written afterwards', async (t) => {
  const it = await controlled(t, 'ram:1M');
  const path = image(it.folder, 'disk.img');
  const initiator = await connect(it);
  await it.client.call('add', { disk: path });
  await initiator.send({ lun: 1, cdb: TEST_UNIT_READY });
  const writes = Array.from({ length: 50 }, () =>
    initiator.send({ lun: 1, cdb: WRITE, dataOut: pattern(512, 3) }),
  );
  await it.client.call('remove', { lun: 1 });
  await Promise.all(writes);
  t.pass();
});

for (const disk of ['ram:64M', 'disk.img,create,size=64M']) {
  test(`a disk that is being sanitized is removed: ${disk}`, async (t) => {
    const it = await controlled(t, 'ram:1M');
    const initiator = await connect(it);
    await it.client.call('add', { disk, directory: it.folder });
    await initiator.send({ lun: 1, cdb: TEST_UNIT_READY });
    // OVERWRITE of one block's pattern, IMMED: it goes on in the background.
    const sanitize = {
      cdb: [0x48, 0x81, 0, 0, 0, 0, 0, 2, 4, 0],
      dataOut: Uint8Array.from([1, 0, 2, 0, ...pattern(512, 1)]),
    };
    t.is(outcome(await initiator.send({ lun: 1, ...sanitize })), 'GOOD');
    await it.client.call('remove', { lun: 1 });
    t.is(outcome(await initiator.send({ cdb: WRITE, dataOut: pattern(512, 3) })), '6/3f/0e');
    t.is(outcome(await initiator.send({ cdb: WRITE, dataOut: pattern(512, 3) })), 'GOOD');
    t.deepEqual(it.warnings, []);
  });
}

test('a disk with registrations is removed by force only', async (t) => {
  const it = await controlled(t, 'ram:1M');
  const initiator = await connect(it);
  const register = { cdb: [0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: new Uint8Array(24).fill(1, 8, 16) };
  t.is(outcome(await initiator.send(register)), 'GOOD');
  await t.throwsAsync(it.client.call('remove', { lun: 0 }), { code: 'reserved' });
  t.deepEqual(await it.client.call('remove', { lun: 0, force: true }), { lun: 0 });
});

test('a file grows, its protection information with it, and everybody is told', async (t) => {
  const it = await controlled(t, 'ram:1M');
  const path = image(it.folder, 'disk.img');
  const initiator = await connect(it);
  await it.client.call('add', { disk: `${path},pi=1` });
  await initiator.send({ lun: 1, cdb: TEST_UNIT_READY });
  const resized = (await it.client.call('resize', { lun: 1, size: 3 << 20 })) as unknown as Lun;
  t.deepEqual([resized.size, resized.changed], [3 << 20, true]);
  t.is(statSync(path).size, 3 << 20);
  t.is(statSync(`${path}.pi`).size, (3 << 20) / 64);
  t.is(outcome(await initiator.send({ lun: 1, cdb: TEST_UNIT_READY })), '6/2a/09');
  t.is(u32((await initiator.send({ lun: 1, ...READ_CAPACITY })).dataIn, 0), (3 << 11) - 1);
  const last = [0, 0, 0x17, 0xff, 0, 0, 1, 0];
  t.is(outcome(await initiator.send({ lun: 1, cdb: [0x2a, 0, ...last], dataOut: pattern(512, 1) })), 'GOOD');
  const checked = { lun: 1, cdb: [0x28, 0x20, ...last], dataInLength: 520 };
  t.is(outcome(await initiator.send(checked)), 'GOOD');
});

test('a file that has grown by itself is taken over without a size', async (t) => {
  const it = await controlled(t, 'ram:1M');
  const path = image(it.folder, 'disk.img');
  await it.client.call('add', { disk: path });
  truncateSync(path, 4 << 20);
  const resized = (await it.client.call('resize', { lun: 1 })) as unknown as Lun;
  t.deepEqual([resized.size, resized.changed], [4 << 20, true]);
  const again = (await it.client.call('resize', { lun: 1 })) as unknown as Lun;
  t.false(again.changed);
});

const refused: readonly [string, string, Record<string, string | number>, string][] = [
  ['a LUN that is taken', 'add', { disk: 'ram:1M', lun: 0 }, 'lun-taken'],
  ['a DISK that is none', 'add', { disk: 'ram:much' }, 'invalid-parameters'],
  ['a file that is not there', 'add', { disk: '/nowhere/disk.img' }, 'ENOENT'],
  ['a target that is not there', 'add', { disk: 'ram:1M', target: 'naa.1' }, 'invalid-parameters'],
  ['a LUN that is not there', 'remove', { lun: 5 }, 'no-such-lun'],
  ['a LUN beyond all', 'remove', { lun: 70000 }, 'invalid-parameters'],
  ['memory that is to grow', 'resize', { lun: 0, size: 2 << 20 }, 'size-fixed'],
  ['half a block', 'resize', { lun: 0, size: (2 << 20) + 256 }, 'size-odd'],
];
for (const [title, name, params, code] of refused) {
  test(`${title}: ${name} is refused, and nothing changes`, async (t) => {
    const it = await controlled(t, 'ram:1M');
    const before = await it.client.call('list');
    await t.throwsAsync(it.client.call(name, params), { code });
    t.deepEqual(await it.client.call('list'), before);
  });
}

test('a file is not made shorter', async (t) => {
  const it = await controlled(t, 'ram:1M');
  const path = image(it.folder, 'disk.img');
  await it.client.call('add', { disk: path });
  await t.throwsAsync(it.client.call('resize', { lun: 1, size: 512 }), { code: 'size-shrinks' });
  t.is(statSync(path).size, 1 << 20);
});

if (CAN_HANG) {
  test('a disk whose server answers nobody keeps only whoever adds it waiting', async (t) => {
    const it = await controlled(t, 'ram:1M');
    const initiator = await connect(it);
    const path = join(it.folder, 'hanging.img');
    const file = await hangingFile(path);
    try {
      file.hang();
      let answered = false;
      const added = it.client.call('add', { disk: path }).finally(() => (answered = true));
      const refused = t.throwsAsync(added, { message: /hanging\.img/ });
      for (let i = 0; i < 100; i++) {
        t.is(outcome(await initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD');
        await delay(1);
      }
      t.false(answered, 'it was asked');
      await file.release();
      await refused;
      t.is(((await it.client.call('add', { disk: 'ram:1M' })) as unknown as Lun).lun, 1);
    } finally {
      await file.release();
    }
  });
}
