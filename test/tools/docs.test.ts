import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { pages } from '../../tools/docs.ts';

test('the pages in docs/ are those that the code makes', async (t) => {
  for (const { path, text } of await pages()) {
    t.is(readFileSync(path, 'utf8'), text, `${path} is old: run make docs`);
  }
});

test('every test that the command table names exists', async (t) => {
  const commands = (await pages()).find(({ path }) => path === 'docs/commands.md')!.text;
  const links = new Set([...commands.matchAll(/\]\((\.\.\/test\/[^)]+)\)/g)].map(([, link]) => link));
  t.true(links.size > 20);
  for (const link of links) t.true(existsSync(join('docs', link)), link);
});
