import test from 'ava';

interface Counter {
  passed: number;
  failed: number;
  skipped: number;
  failures: string[][];
  line(text: string): void;
}

// The runner must work unbuilt, so it is not compiled: from dist/test/tools to tools.
const runner = new URL('../../../tools/run-tests.mjs', import.meta.url).href;
const { TapCounter } = (await import(runner)) as { TapCounter: new () => Counter };

function count(tap: string): Counter {
  const counter = new TapCounter();
  for (const text of tap.split('\n')) counter.line(text);
  return counter;
}

const rows: [string, string, [passed: number, failed: number, skipped: number]][] = [
  ['a passed test', 'ok 1 - file › reads', [1, 0, 0]],
  ['a failed test', 'not ok 1 - file › reads', [0, 1, 0]],
  ['a skipped test', 'ok 1 - file › reads # SKIP', [0, 0, 1]],
  ['a todo, which is no failure', 'not ok 1 - file › reads # TODO', [0, 0, 1]],
  ['a title that speaks of skipping', 'ok 1 - file › counts # SKIP # lines', [1, 0, 0]],
  ['what only looks like a result', '# ok\n    ok\nokay\n1..3', [0, 0, 0]],
];
for (const [what, tap, [passed, failed, skipped]] of rows) {
  test(`counts ${what}`, (t) => {
    const counter = count(tap);
    t.deepEqual([counter.passed, counter.failed, counter.skipped], [passed, failed, skipped]);
  });
}

test('keeps a failure with its diagnostics, and nothing else', (t) => {
  const { failures } = count(
    [
      'TAP version 13',
      'ok 1 - a',
      'not ok 2 - b',
      '  ---',
      '    message: no',
      '  ...',
      'ok 3 - c',
      '    # logged',
      'not ok 4 - d',
      '',
      '1..4',
      '# tests 4',
    ].join('\n'),
  );
  t.deepEqual(failures, [
    ['not ok 2 - b', '  ---', '    message: no', '  ...'],
    ['not ok 4 - d', ''],
  ]);
});
