import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import type { OpenBackstore } from '../../src/backstores/open-backstore.ts';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
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

const getLbaStatus = {
  cdb: [0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0],
  dataInLength: 64,
};

interface Parts {
  readonly initiator: Initiator;
  readonly backstore: OpenBackstore;
}

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

  const questions: [title: string, ask: (parts: Parts) => Promise<unknown>][] = [
    ['where data lies', ({ initiator }) => initiator.send({ ...getLbaStatus, lun: 0 })],
    ['its size', ({ backstore }) => backstore.refresh!()],
    ['to grow', ({ backstore }) => backstore.resize!(128 << 20)],
    ['to be closed', ({ backstore }) => backstore.close()],
  ];
  for (const [title, ask] of questions) {
    test(`a disk on a file system that hangs, asked ${title}, keeps only whoever asked waiting`, async (t) => {
      const folder = temporaryFolder();
      const path = join(folder.path, 'hanging.img');
      const file = await hangingFile(path);
      const target = LocalTarget.open([path, 'ram:1M']);
      const initiator = target.connect('test');
      for (const lun of [0, 1]) await initiator.send({ cdb: [0, 0, 0, 0, 0, 0], lun });
      try {
        // Nothing that the kernel remembers for a second.
        await delay(1100);
        file.hang();
        let answered = false;
        const answer = ask({ initiator, backstore: target.disks[0].backstore })
          .catch(() => {})
          .then(() => (answered = true));
        for (let i = 0; i < COMMANDS; i++) {
          t.is((await initiator.send({ ...read(i * BLOCKS), lun: 1 })).status, GOOD);
          await delay(1);
        }
        t.false(answered, 'it was asked');
        await file.release();
        await answer;
      } finally {
        await file.release();
        await target.close().catch(() => {});
        folder.remove();
      }
    });
  }
}
