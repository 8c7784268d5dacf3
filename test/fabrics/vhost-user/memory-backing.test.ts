/** What a guest's memory may be made of: memfds, files, tmpfs, and huge pages where this machine has some. */
import { execFileSync } from 'node:child_process';
import {
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { QueueIndex } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { type RegionRequest, totalLength } from '../../support/vhost-user/guest-memory.ts';
import { resources, Served } from '../../support/vhost-user/served.ts';

/**
 * The first two regions, and the last two, share a page of 2 MiB; the middle one goes over its end. One behind the other
 * in their file, they fill two of those pages.
 */
const MEMORY: readonly RegionRequest[] = [
  { guestAddress: 0, length: 0xa0000 },
  { guestAddress: 0x10_0000, length: 0x30_0000 },
  { guestAddress: 0x1_0000_0000, length: 0x6_0000 },
];
const HUGE_PAGES = 2;
/** Linux, magic.h. */
const TMPFS = 0x0102_1994;

const BLOCKS = 256;
const LENGTH = BLOCKS * 512;
const cdb = (opcode: number, piece: number) => [opcode, 0, 0, 0, piece, 0, 0, BLOCKS >> 8, BLOCKS & 0xff, 0];
const write = (piece: number, fill: number) => ({
  cdb: cdb(0x2a, piece),
  dataOut: new Uint8Array(LENGTH).fill(fill),
});
const read = (piece: number) => ({ cdb: cdb(0x28, piece), dataInLength: LENGTH });

const folder = temporaryFolder();
const hugePages = reserveHugePages();
test.after.always(() => {
  if (hugePages !== undefined) hugePages.release();
  folder.remove();
});

/** Its name goes at once, so that its pages go with the last who has it open. */
function fileIn(directory: string): number {
  const path = join(directory, 'memory');
  const fd = openSync(path, 'wx+');
  unlinkSync(path);
  ftruncateSync(fd, totalLength(MEMORY));
  return fd;
}

/** Pages of 2 MiB, and a file system of them; undefined for who may not have any. */
function reserveHugePages(): { readonly directory: string; release(): void } | undefined {
  const setting = '/proc/sys/vm/nr_hugepages';
  if (process.getuid!() !== 0 || !/^Hugepagesize: *2048 kB/m.test(readFileSync('/proc/meminfo', 'utf8')))
    return undefined;
  const count = () => Number(readFileSync(setting, 'utf8'));
  const before = count();
  const restore = () => writeFileSync(setting, String(before));
  try {
    writeFileSync(setting, String(before + HUGE_PAGES));
    if (count() < before + HUGE_PAGES) throw new Error('no memory in pieces of 2 MiB');
    const directory = join(folder.path, 'huge');
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'hugetlbfs', '-o', 'pagesize=2M', 'none', directory]);
    const release = () => {
      // Also when a test that failed has left something open.
      execFileSync('umount', ['--lazy', directory]);
      restore();
    };
    return { directory, release };
  } catch {
    restore();
    return undefined;
  }
}

/** Without the pages nothing can be seen: they are root's to give, and there may be none. */
const withHugePages = hugePages === undefined ? test.skip : test.serial;

async function readsAndWrites(t: ExecutionContext, memoryFd: number, slots: boolean): Promise<void> {
  const served = await Served.start();
  const { driver, memory } = await served.boot({ memory: MEMORY, memoryFd, slots });
  const pieces = [0, 1, 2, 3];
  const exchange = async (fill: number) => {
    const writes = await Promise.all(pieces.map((piece) => driver.execute(write(piece, fill + piece))));
    t.true(writes.every(({ status }) => status === Status.GOOD));
    const reads = await Promise.all(pieces.map((piece) => driver.execute(read(piece))));
    for (const piece of pieces) t.true(reads[piece].dataIn.every((byte) => byte === fill + piece));
  };
  await exchange(1);
  // The middle region next, over the end of its first page of 2 MiB, and then the last one.
  while (memory.allocate(LENGTH) < 0x20_0000);
  await exchange(5);
  while (memory.allocate(1 << 16) < MEMORY[2].guestAddress);
  pieces.length = 1;
  await exchange(9);
  await served.close();
}

for (const slots of [true, false]) {
  const how = slots ? 'slot by slot' : 'as a table';

  test.serial(`a file on a disk is memory, shared ${how}`, async (t) => {
    await readsAndWrites(t, fileIn(mkdtempSync(join(folder.path, 'file-'))), slots);
  });

  test.serial(`a file on tmpfs is memory, shared ${how}`, async (t) => {
    const directory = mkdtempSync('/dev/shm/lunport-test-');
    t.teardown(() => rmSync(directory, { recursive: true }));
    t.is(statfsSync(directory).type, TMPFS);
    await readsAndWrites(t, fileIn(directory), slots);
  });

  withHugePages(`regions that begin and end within a huge page are memory, shared ${how}`, async (t) => {
    const { mappings, fds } = resources();
    await readsAndWrites(t, fileIn(mkdtempSync(join(hugePages!.directory, 'guest-'))), slots);
    t.deepEqual(resources(), { mappings, fds });
  });
}

withHugePages('a front-end that takes huge pages back ends its own connection', async (t) => {
  const served = await Served.start();
  const memoryFd = fileIn(mkdtempSync(join(hugePages!.directory, 'guest-')));
  const { driver, frontEnd } = await served.boot({ memory: MEMORY, memoryFd });
  ftruncateSync(memoryFd, 0);
  addon.signal(driver.queues[QueueIndex.FIRST_REQUEST].kickFd);
  await frontEnd.closed;
  await served.alone();
  t.regex(served.target.state.lastDisconnect!, /took back memory/);
  const { driver: next } = await served.boot();
  t.is((await next.execute(read(0))).status, Status.GOOD);
  await served.close();
});
