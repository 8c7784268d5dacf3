/** Which copies the kernel is asked for: one that never ends would hold a thread that all disks share. */
import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { FileBackstore } from '../../src/backstores/file-backstore.ts';
import { openFile } from '../../src/backstores/open-file.ts';
import type { IoEngine } from '../../src/native/io-engine.ts';
import type { RegionMemory } from '../../src/native/memory.ts';

const SIZE = 8192;
const folder = mkdtempSync(join(tmpdir(), 'lunport-kernel-copy-'));
test.after.always(() => rmSync(folder, { recursive: true }));

for (const [where, from, to] of [
  ['from and to file systems that answer at once', true, true],
  ['from one that may never answer', false, true],
  ['to one that may never answer', true, false],
] as const) {
  test(`a copy ${where} ${from && to ? 'goes through the kernel' : 'goes through memory'}`, async (t) => {
    const disks = [from, to].map((prompt, i) => {
      const path = join(folder, `${t.title.length}-${i}.img`);
      writeFileSync(path, Buffer.alloc(SIZE, i === 0 ? 0x5a : 0));
      const opened = openFile({
        path,
        readOnly: false,
        blockSize: 512,
        cache: 'writeback',
        create: false,
        share: true,
      });
      t.teardown(() => closeSync(opened.fd));
      const engine = { mapReads: () => {} } as unknown as IoEngine;
      return { path, backstore: new FileBackstore({ ...opened, prompt }, engine, {} as RegionMemory) };
    });
    const [source, destination] = disks;
    const copied = await destination.backstore.copyFrom(source.backstore, 0, 4096, 4096);
    t.is(copied, from && to);
    t.is(readFileSync(destination.path)[4096], copied ? 0x5a : 0);
  });
}
