/** Which buffers O_DIRECT can use as they are (statx(2), stx_dio_mem_align and stx_dio_offset_align). */
import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { FileBackstore } from '../../src/backstores/file-backstore.ts';
import { openFile } from '../../src/backstores/open-file.ts';
import type { IoEngine } from '../../src/native/io-engine.ts';
import type { RegionMemory } from '../../src/native/memory.ts';
import { SegmentList } from '../../src/scsi/segment-list.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-alignment-'));
const path = join(folder, 'disk.img');
writeFileSync(path, new Uint8Array(4096));
const file = openFile({
  path,
  readOnly: false,
  blockSize: 512,
  cache: 'writeback',
  create: false,
  share: true,
});
test.after.always(() => {
  closeSync(file.fd);
  rmSync(folder, { recursive: true });
});

type Pieces = readonly (readonly [offset: number, length: number])[];
const rows: readonly [string, number, number, Pieces, boolean][] = [
  ['whole pages', 512, 512, [[4096, 4096]], false],
  ['an address that is none of a block', 512, 512, [[4096 + 256, 4096]], true],
  ['an address that the device takes', 4, 512, [[4096 + 256, 4096]], false],
  ['an address that it does not', 4, 512, [[4098, 4096]], true],
  [
    'pieces that are no blocks, at addresses that the device takes',
    4,
    512,
    [
      [4096 + 256, 3840],
      [16384, 256],
    ],
    true,
  ],
];

for (const [what, memoryAlignment, lengthAlignment, pieces, expected] of rows) {
  test(`${what}: ${expected ? 'copied' : 'used as they are'}`, (t) => {
    const engine = { mapReads: () => {} } as unknown as IoEngine;
    const opened = { ...file, direct: true, memoryAlignment, lengthAlignment };
    const backstore = new FileBackstore(opened, engine, {} as RegionMemory);
    const segments = new SegmentList(2);
    for (const [offset, length] of pieces) segments.add(1, offset, length);
    t.is(backstore.needsBounce(segments, 0, segments.byteLength), expected);
  });
}
