import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { isImageInUse } from '../../src/native/file-lock.ts';
import { LunMap } from '../../src/scsi/lun-map.ts';
import { Nexus } from '../../src/scsi/nexus.ts';
import { parseDisk } from '../../src/target/disk-spec.ts';
import type { LunportError } from '../../src/target/errors.ts';
import { closeBackstores, openDisk, type ServedDisk } from '../../src/target/served-disk.ts';
import { Shard } from '../../src/target/shard.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-served-disk-'));
const shard = new Shard();
test.after.always(async () => {
  await shard.close();
  rmSync(folder, { recursive: true });
});

const open = (text: string): ServedDisk =>
  openDisk(parseDisk(text), { shard, place: 'test', stateDirectory: undefined });

function file(name: string, bytes: number): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  return path;
}

/** An initiator on the disk, its power-on unit attention gone. */
function initiatorOf(disk: ServedDisk): Initiator {
  const lunMap = new LunMap();
  lunMap.add(0, disk.unit);
  const nexus = new Nexus(
    { name: 'test', transportId: new Uint8Array(24) },
    { name: 'naa.5001405000000001', relativeId: 1, protocol: 6 },
    lunMap,
  );
  for (const itl of nexus.itlNexuses()) itl.unitAttentions.clearAll();
  return new Initiator(nexus, shard.environment);
}

const refused: [title: string, disk: () => string, code: string, hint: RegExp][] = [
  ['a missing file', () => join(folder, 'missing.img'), 'ENOENT', /create,size=/],
  ['a directory', () => folder, 'EISDIR', /file or a block device/],
  ['a character device', () => '/dev/null', 'not-a-disk', /regular file or a block device/],
  ['an empty file', () => file('empty.img', 0), 'size-zero', /truncate -s 10G/],
  ['a file of odd size', () => file('odd.img', 1000), 'size-odd', /truncate -s %512/],
  ['a file smaller than a block', () => `${file('small.img', 512)},block-size=4096`, 'size-odd', /%4096/],
  ['a size that is another', () => `${file('size.img', 1024)},size=2048`, 'size-differs', /leave out size=/],
  ['a new file without a size', () => `${join(folder, 'new.img')},create`, 'size-missing', /create,size=10G/],
];

for (const [title, disk, code, hint] of refused) {
  test(`${title} is refused, with a hint`, (t) => {
    const error = t.throws<LunportError>(() => open(disk()), { code });
    t.regex(error.hint ?? '', hint);
    t.true(error.message.includes(error.object));
  });
}

test('a qcow2 image is refused instead of served raw', (t) => {
  const path = file('image.qcow2', 1 << 20);
  writeFileSync(path, Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc((1 << 20) - 4)]));
  t.throws(() => open(path), { code: 'foreign-format', message: /qcow2/ });
});

test('an image in use is refused, unless both users share it', async (t) => {
  const path = file('used.img', 1 << 20);
  const alone = open(path);
  t.throws(() => open(path), { code: 'image-in-use' });
  t.throws(() => open(`${path},share`), { code: 'image-in-use' });
  await closeBackstores(alone);
  const first = open(`${path},share`);
  const second = open(`${path},share`);
  await closeBackstores(second);
  await closeBackstores(first);
  await closeBackstores(open(path));
});

test('two disks with one serial number are refused where their state is kept', async (t) => {
  const stateDirectory = join(folder, 'state');
  const openHere = (text: string) => openDisk(parseDisk(text), { shard, place: 'test', stateDirectory });
  const first = openHere(`${file('serial-1.img', 1 << 20)},serial=SAME`);
  const other = file('serial-2.img', 1 << 20);
  t.throws(() => openHere(`${other},serial=SAME`), { code: 'state-in-use' });
  await closeBackstores(first);
  await new Promise(setImmediate);
  await closeBackstores(openHere(`${other},serial=SAME`));
});

test('a disk whose state directory cannot be made is not left open', async (t) => {
  const path = file('left.img', 1 << 20);
  const stateDirectory = join(file('no-directory', 0), 'state');
  t.throws(() => openDisk(parseDisk(path), { shard, place: 'test', stateDirectory }), { code: 'ENOTDIR' });
  // It closes after the error.
  while (isImageInUse(path, { write: true, share: false })) await delay(5);
  await closeBackstores(open(path));
});

test('a new disk is sparse and readable by its owner only', async (t) => {
  const path = join(folder, 'created.img');
  await closeBackstores(open(`${path},create,size=1G`));
  const { size, blocks, mode } = statSync(path);
  t.deepEqual([size, blocks, mode & 0o777], [2 ** 30, 0, 0o600]);
});

test('a file whose maker was killed before it had a size gets it from the next one', async (t) => {
  const path = file('unfinished.img', 0);
  await closeBackstores(open(`${path},create,size=1M`));
  t.is(statSync(path).size, 1 << 20);
  const used = open(`${path},create,size=1M`);
  truncateSync(path, 0);
  t.throws(() => open(`${path},create,size=2M`), { code: 'image-in-use' });
  t.is(statSync(path).size, 0, 'it is not ours');
  await closeBackstores(used);
});

test('protection information has room for a disk that grew while nobody served it', async (t) => {
  const path = file('grown.img', 1 << 20);
  await closeBackstores(open(`${path},pi=1`));
  truncateSync(path, 8 << 20);
  const disk = open(`${path},pi=1`);
  t.is(statSync(`${path}.pi`).size, (8 << 20) / 64);
  t.is(disk.unit.protection.type, 1);
  const initiator = initiatorOf(disk);
  const last = [0, 0, 0x3f, 0xff, 0, 0, 1, 0];
  const { status } = await initiator.send({ cdb: [0x2a, 0, ...last], dataOut: new Uint8Array(512).fill(7) });
  t.is(status, 0);
  t.is((await initiator.send({ cdb: [0x28, 0x20, ...last], dataInLength: 520 })).status, 0);
  await initiator.close();
  await closeBackstores(disk);
});

for (const [title, disk] of [
  ['a file', () => `${file('protected.img', 1 << 20)},pi=1`],
  ['memory', () => 'ram:1M,pi=1'],
] as const) {
  test(`protection information of type 1 on ${title} is kept beside the data and checked`, async (t) => {
    const served = open(disk());
    const initiator = initiatorOf(served);
    const block = Buffer.alloc(512, 7);
    const wrong = Buffer.concat([block, Buffer.alloc(8, 1)]);
    const write = await initiator.send({ cdb: [0x2a, 0x20, 0, 0, 0, 9, 0, 0, 1, 0], dataOut: wrong });
    t.deepEqual([write.status, write.sense[2], write.sense[12], write.sense[13]], [0x02, 0x0b, 0x10, 0x01]);
    const plain = await initiator.send({ cdb: [0x2a, 0, 0, 0, 0, 9, 0, 0, 1, 0], dataOut: block });
    t.is(plain.status, 0);
    const read = await initiator.send({ cdb: [0x28, 0x20, 0, 0, 0, 9, 0, 0, 1, 0], dataInLength: 520 });
    t.is(read.status, 0);
    // Guard of 512 bytes of 07h, no application tag, reference tag 9.
    t.is(Buffer.from(read.dataIn.subarray(516, 520)).readUInt32BE(), 9);
    await closeBackstores(served);
  });
}

test('a file that is cut short under us is a medium error at the block where it ends', async (t) => {
  const path = file('cut.img', 1 << 20);
  const served = open(path);
  const initiator = initiatorOf(served);
  truncateSync(path, 4096);
  const read = await initiator.send({ cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 16, 0], dataInLength: 8192 });
  t.deepEqual([read.status, read.sense[2], read.sense[12]], [0x02, 0x03, 0x11]);
  t.is(Buffer.from(read.sense.subarray(3, 7)).readUInt32BE(), 8);
  await closeBackstores(served);
});
