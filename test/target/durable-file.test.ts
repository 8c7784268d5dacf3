import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type FileSystem, makeDurableDirectory, replaceFile } from '../../src/target/durable-file.ts';
import { CrashingFileSystem } from '../support/crashing-file-system.ts';

const PATH = '/state/disk/reservations.json';

const before: [title: string, files: Record<string, string>, old: string | undefined][] = [
  ['a file that was there', { [PATH]: 'old text' }, 'old text'],
  ['a file that was not there', {}, undefined],
  ['leavings of a crash', { [PATH]: 'old', [`${PATH}.4711.1.tmp`]: 'half of anoth' }, 'old'],
];
for (const [title, files, old] of before) {
  test(`power loss at any byte leaves the old or the new text: ${title}`, async (t) => {
    let steps = 0;
    const fileSystem: CrashingFileSystem = new CrashingFileSystem(files, () => {
      steps++;
      for (const text of fileSystem.possibleTexts(PATH)) t.true(text === old || text === 'new', `${text}`);
    });
    await replaceFile(PATH, 'new', fileSystem);
    t.deepEqual([...fileSystem.possibleTexts(PATH)], ['new']);
    t.true(steps >= 'new'.length + 4);
  });
}

test('power loss between and in several replacements leaves one of the last two texts', async (t) => {
  const texts = ['first', 'second', 'third'];
  let turn = 0;
  const fileSystem: CrashingFileSystem = new CrashingFileSystem({ [PATH]: 'zero' }, () => {
    const allowed = [turn === 0 ? 'zero' : texts[turn - 1], texts[turn]];
    for (const text of fileSystem.possibleTexts(PATH)) t.true(allowed.includes(text!), `${text}`);
  });
  for (; turn < texts.length; turn++) await replaceFile(PATH, texts[turn], fileSystem);
  turn--;
  t.deepEqual([...fileSystem.possibleTexts(PATH)], ['third']);
});

test('a temporary file is one that nobody could have put there before', async (t) => {
  const opened: string[] = [];
  const memory = new CrashingFileSystem({}, () => {});
  const fileSystem: FileSystem = {
    rename: (from, to) => memory.rename(from, to),
    rm: (path) => memory.rm(path),
    open: (path, flags) => {
      opened.push(`${flags} ${path}`);
      return memory.open(path, flags);
    },
  };
  await replaceFile(PATH, 'first', fileSystem);
  await replaceFile(PATH, 'second', fileSystem);
  const made = opened.filter((each) => each.startsWith(`wx ${PATH}.${process.pid}.`));
  t.is(new Set(made).size, 2, opened.join());
});

test('the simulated file system tells a replacement without syncs from a durable one', async (t) => {
  const fileSystem = new CrashingFileSystem({ [PATH]: 'old' }, () => {});
  const file = await fileSystem.open(`${PATH}.tmp`, 'w');
  await file.writeFile('new');
  await fileSystem.rename(`${PATH}.tmp`, PATH);
  t.deepEqual(fileSystem.possibleTexts(PATH), new Set(['old', '', 'n', 'ne', 'new']));
});

test('a directory is made with those above it, for its owner only', (t) => {
  const base = mkdtempSync(join(tmpdir(), 'lunport-durable-'));
  try {
    const path = join(base, 'a', 'b');
    makeDurableDirectory(path);
    makeDurableDirectory(path);
    t.is(statSync(path).mode & 0o777, 0o700);
    t.is(statSync(join(base, 'a')).mode & 0o777, 0o700);
  } finally {
    rmSync(base, { recursive: true });
  }
});
