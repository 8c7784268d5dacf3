/** EXTENDED COPY between real files: the kernel copies where it can, and every byte arrives either way. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { LocalTarget } from '../../src/target/local-target.ts';
import { pattern } from '../support/block-cdbs.ts';
import { blocks, copyList, cscd, sendCopy } from '../support/copy-lists.ts';
import { outcome } from '../support/persistent-reservations.ts';
import { makeToken, sendToken, writeList } from '../support/rod-tokens.ts';
import { sameBytes } from '../support/same-bytes.ts';

const SIZE = 8 << 20;
/** More than the kernel is asked for at a time. */
const COPIED = 10_000;
const FROM = 100;
const TO = 3000;

const folder = temporaryFolder();
const memory = mkdtempSync('/dev/shm/lunport-copy-');
test.after.always(() => {
  folder.remove();
  rmSync(memory, { recursive: true });
});

interface Pair {
  readonly initiator: Initiator;
  /** Whether each piece that the kernel was asked for was copied by it. */
  readonly asked: boolean[];
  readonly copy: (from: number, to: number) => Promise<string>;
}

async function withPair(
  t: ExecutionContext,
  disks: readonly [string, string],
  body: (pair: Pair) => Promise<void>,
): Promise<void> {
  const target = LocalTarget.open(disks);
  try {
    const initiator = target.connect();
    for (const lun of [0, 1]) await initiator.send({ lun, cdb: [0, 0, 0, 0, 0, 0] });
    const asked: boolean[] = [];
    for (const { backstore } of target.disks) {
      const copyFrom = backstore.copyFrom?.bind(backstore);
      if (copyFrom === undefined) continue;
      backstore.copyFrom = async (...range) => {
        const copied = await copyFrom(...range);
        asked.push(copied);
        return copied;
      };
    }
    const cscds = target.disks.map(({ unit }) => cscd({ naa: unit.identity.naa }));
    let listId = 1;
    const copy = async (from: number, to: number) => {
      const segment = blocks(COPIED, { source: from, destination: to, from: FROM, to: TO });
      return outcome(await sendCopy(initiator, copyList(cscds, [segment], { listId: listId++ })));
    };
    await body({ initiator, asked, copy });
  } finally {
    await target.close();
  }
  t.pass();
}

let files = 0;
function file(directory: string, seed?: number): string {
  const path = join(directory, `disk-${files++}.img`);
  writeFileSync(path, seed === undefined ? new Uint8Array(SIZE) : pattern(SIZE, seed));
  return path;
}

function arrived(source: string, destination: string): boolean {
  const expected = new Uint8Array(SIZE);
  expected.set(readFileSync(source).subarray(FROM * 512, (FROM + COPIED) * 512), TO * 512);
  return sameBytes(readFileSync(destination), expected);
}

const rows: readonly [string, () => [string, string], string, boolean][] = [
  ['two files of one filesystem', () => [file(folder.path, 1), file(folder.path)], '', true],
  ['two files in memory', () => [file(memory, 1), file(memory)], '', true],
  ['files of two filesystems', () => [file(memory, 1), file(folder.path)], '', false],
  [
    'a file that is written through',
    () => [file(folder.path, 1), file(folder.path)],
    ',cache=writethrough',
    false,
  ],
  ['a file with protection information', () => [file(folder.path, 1), file(folder.path)], ',pi=1', false],
];
for (const [title, paths, options, byKernel] of rows) {
  test(`every byte is copied between ${title}${byKernel ? ', by the kernel' : ''}`, (t) => {
    const [source, destination] = paths();
    return withPair(t, [source, `${destination}${options}`], async ({ copy, asked }) => {
      t.is(await copy(0, 1), 'good');
      t.true(arrived(source, destination));
      if (byKernel) t.deepEqual(asked, [true, true]);
      else if (options !== '') t.deepEqual(asked, []);
    });
  });
}

test('a token written elsewhere is a copy by the kernel, too, over ranges that are cut differently', (t) => {
  const [source, destination] = [file(folder.path, 1), file(folder.path)];
  return withPair(t, [source, destination], async ({ initiator, asked }) => {
    const half = COPIED / 2;
    const from = [
      [FROM, half],
      [FROM + half, half],
    ] as const;
    const to = [
      [TO, half + 100],
      [TO + half + 100, half - 100],
    ] as const;
    const token = await makeToken(initiator, from);
    const written = await sendToken(initiator, 0x11, writeList(token, to), { lun: 1 });
    t.is(outcome(written), 'good');
    t.true(arrived(source, destination));
    t.true(asked.length > 0 && asked.every(Boolean));
  });
});

test('copies in both directions at once do not wait for each other', (t) => {
  const disks: [string, string] = [file(folder.path, 1), file(folder.path, 2)];
  return withPair(t, disks, async ({ copy }) => {
    const results = await Promise.all(Array.from({ length: 8 }, (_, i) => copy(i % 2, 1 - (i % 2))));
    t.deepEqual(new Set(results), new Set(['good']));
  });
});
