/** docs/vhost-user.md says what is offered: each of its bits is held against a device that is asked. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { Server } from '../../../src/target/server.ts';
import { luns } from '../../support/luns.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';

const PAGE = readFileSync('docs/vhost-user.md', 'utf8');

interface Row {
  readonly bit: number;
  readonly offered: string;
  readonly tests: readonly string[];
}

/** The table after a heading. */
function rowsAfter(heading: string): Row[] {
  const text = PAGE.slice(PAGE.indexOf(`\n${heading}\n`));
  const section = text.slice(0, text.indexOf('\n## ', 1));
  return [...section.matchAll(/^\| (\d+) +\|.*\|$/gm)].map(([line]) => {
    const cells = line.split('|').map((cell) => cell.trim());
    const tests = cells[cells.length - 2];
    return { bit: Number(cells[1]), offered: cells[3], tests: tests === '–' ? [] : tests.split(', ') };
  });
}

const VIRTIO = rowsAfter('## Virtio features');
const BLK = rowsAfter('## vhost-user-blk');
const PROTOCOL = rowsAfter('## Protocol features');

const bits = (set: bigint): number[] =>
  Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => ((set >> BigInt(bit)) & 1n) === 1n);
const said = (rows: readonly Row[], word: 'yes' | 'if' | 'no'): number[] =>
  rows.filter(({ offered }) => new RegExp(`^${word}\\b`).test(offered)).map(({ bit }) => bit);
const sorted = (...sets: readonly number[][]): number[] => sets.flat().sort((a, b) => a - b);
/** Those of virtio as such, not of a device type. */
const isRingBit = (bit: number): boolean => bit >= 24;

async function offered(
  device: 'scsi' | 'blk',
  disk: string,
): Promise<{ features: number[]; protocol: number[] }> {
  const folder = temporaryFolder();
  const path = join(folder.path, 'socket');
  const silent = () => {};
  const server = await Server.open([{ sockets: [{ path, role: 'listen' }], luns: luns(disk), device }], {
    io: 'auto',
    stateDirectory: undefined,
    iscsi: undefined,
    log: { debug: silent, info: silent, warn: silent, error: silent },
  });
  const frontEnd = FrontEnd.connect(path);
  const features = bits(await frontEnd.getFeatures());
  const protocol = bits(await frontEnd.getProtocolFeatures());
  frontEnd.close();
  await server.close();
  folder.remove();
  return { features, protocol };
}

test('a SCSI host offers what the page says', async (t) => {
  const { features, protocol } = await offered('scsi', 'ram:1M');
  t.deepEqual(features, said(VIRTIO, 'yes'));
  t.deepEqual(protocol, said(PROTOCOL, 'yes'));
});

test('a block device offers what the page says', async (t) => {
  const folder = temporaryFolder();
  const disks = ['ram:1M,ro', 'ram:1M,attr.emulate_tpu=0', `${join(folder.path, 'disk.img')},create,size=1M`];
  const devices = await Promise.all(disks.map((disk) => offered('blk', disk)));
  folder.remove();
  const all = [...new Set(devices.flatMap(({ features }) => features))];
  const always = all.filter((bit) => devices.every(({ features }) => features.includes(bit)));
  const ring = said(VIRTIO, 'yes').filter(isRingBit);
  t.deepEqual(sorted(always), sorted(said(BLK, 'yes'), ring));
  t.deepEqual(sorted(all.filter((bit) => !always.includes(bit))), said(BLK, 'if'));
  for (const { protocol } of devices)
    t.deepEqual(protocol, sorted(said(PROTOCOL, 'yes'), said(PROTOCOL, 'if')));
});

for (const [title, rows] of Object.entries({ VIRTIO, BLK, PROTOCOL })) {
  test(`each row of ${title} says yes, if or no, and what is offered has a test`, (t) => {
    t.deepEqual(
      sorted(said(rows, 'yes'), said(rows, 'if'), said(rows, 'no')),
      rows.map(({ bit }) => bit),
    );
    for (const { bit, offered: word, tests } of rows) {
      if (!word.startsWith('no')) t.true(tests.length > 0, `bit ${bit}`);
      for (const name of tests) {
        const path = name.includes('/') ? `test/${name}.test.ts` : `test/fabrics/vhost-user/${name}.test.ts`;
        t.true(existsSync(path), path);
      }
    }
  });
}

test('no bit of the protocol is left out', (t) => {
  t.deepEqual(
    PROTOCOL.map(({ bit }) => bit),
    Array.from({ length: 24 }, (_, bit) => bit),
  );
});
