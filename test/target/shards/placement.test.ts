import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { placeTargets } from '../../../src/target/shards/placement.ts';
import { luns } from '../../support/luns.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-placement-'));
const image = join(folder, 'image');
const alias = join(folder, 'alias');
writeFileSync(image, '');
symlinkSync(image, alias);
test.after.always(() => rmSync(folder, { recursive: true }));

function placed(targets: readonly (readonly string[])[], shards: number): number[] {
  const specs = targets.map((disks, i) => ({
    sockets: [{ path: `/run/${i}.sock`, role: 'listen' as const }],
    luns: luns(...disks),
  }));
  return placeTargets(specs, shards);
}

const rows: [title: string, targets: string[][], shards: number, expected: number[]][] = [
  ['no targets', [], 2, []],
  ['targets are dealt out in turn', [['a'], ['b'], ['c'], ['d']], 3, [0, 1, 2, 0]],
  ['one shard has them all', [['a'], ['b']], 1, [0, 0]],
  ['memory of the same size is not the same disk', [['ram:1M'], ['ram:1M'], ['null:1M']], 3, [0, 1, 2]],
  ['a file in two targets keeps them together', [['a', 'b'], ['c'], ['b,share']], 2, [0, 1, 0]],
  ['so does another spelling of its name', [['dir/../a'], ['b'], ['./a']], 2, [0, 1, 0]],
  ['so does a symbolic link', [[image], [alias], ['b']], 2, [0, 0, 1]],
  [
    'so does a serial number that was given twice',
    [['a,serial=X'], ['b'], ['ram:1M,serial=X']],
    2,
    [0, 1, 0],
  ],
  [
    'a target that shares with two others brings these together',
    [['a'], ['b'], ['a', 'b'], ['c']],
    2,
    [0, 0, 0, 1],
  ],
  ['a later target of a group does not use up a turn', [['a'], ['a'], ['b'], ['c']], 3, [0, 0, 1, 2]],
];

for (const [title, targets, shards, expected] of rows) {
  test(title, (t) => t.deepEqual(placed(targets, shards), expected));
}
