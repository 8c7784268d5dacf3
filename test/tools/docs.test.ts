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

test('every test that the page of hazards names exists', (t) => {
  const rows = readFileSync('docs/hazards.md', 'utf8').split('\n');
  const hazards = rows.filter((line) => line.startsWith('|')).slice(2);
  t.true(hazards.length > 20);
  for (const row of hazards) {
    const fed = row.split('|')[3];
    t.regex(fed, /“.+”/, row);
    for (const [, file, titles] of fed.matchAll(/([a-z-]+(?:\/[a-z-]+)*): ((?:“[^”]+”(?:, )?)+)/g)) {
      const text = readFileSync(join('test', `${file}.test.ts`), 'utf8');
      for (const [, title] of titles.matchAll(/“([^”]+)”/g))
        t.true(text.includes(title), `${file}: ${title}`);
    }
  }
});
