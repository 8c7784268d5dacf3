import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { LocalTarget } from '../../src/target/local-target.ts';
import { CAN_HANG, hangingFile } from '../support/hanging-file.ts';

const GOOD = 0;
const BLOCKS = 8;
/** More than the kernel lets wait in a FUSE server before it makes whoever asks wait. */
const COMMANDS = 100;

const read = (block: number) => ({
  cdb: [0x28, 0, 0, 0, block >> 8, block & 0xff, 0, 0, BLOCKS, 0],
  dataInLength: BLOCKS * 512,
});
const synchronizeCache = { cdb: [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0] };

if (CAN_HANG) {
  test('a disk on a file system that hangs holds up neither other disks nor the event loop', async (t) => {
    const folder = temporaryFolder();
    const path = join(folder.path, 'hanging.img');
    const other = join(folder.path, 'other.img');
    writeFileSync(other, Buffer.alloc(1 << 20, 0x5a));
    const file = await hangingFile(path);
    const target = LocalTarget.open([path, other]);
    const initiator = target.connect('test');
    // The first command to each hears of the power-on.
    for (const lun of [0, 1]) await initiator.send({ cdb: [0, 0, 0, 0, 0, 0], lun });
    try {
      file.hang();
      const hanging = Array.from({ length: COMMANDS }, (_, i) =>
        initiator.send({ ...read(i * BLOCKS), lun: 0 }),
      );
      for (let i = 0; i < COMMANDS; i++) {
        const { status, dataIn } = await initiator.send({ ...read(i * BLOCKS), lun: 1 });
        t.is(status, GOOD);
        t.is(dataIn[0], 0x5a);
      }
      t.is((await initiator.send({ ...synchronizeCache, lun: 1 })).status, GOOD);
      await file.release();
      for (const answer of await Promise.all(hanging)) t.not(answer.status, GOOD);
    } finally {
      await file.release();
      await target.close().catch(() => {});
      folder.remove();
    }
  });
}
