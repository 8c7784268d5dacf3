import test from 'ava';

interface Counter {
  passed: number;
  failed: number;
  skipped: number;
  failures: string[];
  line(text: string): void;
}

// The runner must work unbuilt, so it is not compiled: from dist/test/tools to tools.
const runner = new URL('../../../tools/run-tests.mjs', import.meta.url).href;
const { AvaCounter } = (await import(runner)) as { AvaCounter: new () => Counter };

function count(output: string): Counter {
  const counter = new AvaCounter();
  for (const text of output.split('\n')) counter.line(text);
  return counter;
}

const rows: [string, string, [passed: number, failed: number, skipped: number]][] = [
  ['a passed test', '  ✔ file › reads (1.2s)', [1, 0, 0]],
  ['one on a terminal without Unicode', '  √ file › reads', [1, 0, 0]],
  ['an expected failure as passed', '  ✔ [expected fail] file › reads', [1, 0, 0]],
  [
    'a failed test once',
    '  ✘ [fail]: a › b no\n  ─\n\n  a › b\n\n  ✘ [fail]: c\n  ─\n\n  1 test failed',
    [0, 1, 0],
  ],
  ['an unexpected pass as failed', '  ✘ [unexpected pass]: a › b', [0, 1, 0]],
  ['a skipped test', '  - [skip] file › reads', [0, 0, 1]],
  ['a todo as skipped', '  - [todo] file › reads', [0, 0, 1]],
  ['a crash', '  ✔ a\n  ✘ dist/test/a.test.js exited due to SIGSEGV', [1, 1, 0]],
  [
    'an exception with the exit that follows as one',
    '  Uncaught exception in a.test.js\n\n  Error: x\n\n  ✘ a.test.js exited with a non-zero exit code: 1',
    [0, 1, 0],
  ],
  ['a file without tests', '  ✘ No tests found in dist/test/a.test.js', [0, 1, 0]],
  [
    'each hanging test',
    '\n  ✘ Timed out while running tests\n\n  2 tests were pending in a.test.js\n\n  ◌ a\n  ◌ b',
    [0, 2, 0],
  ],
  [
    'a file that does not exit',
    '\n  ✘ Timed out while running tests\n\n  Failed to exit when running a.js',
    [0, 1, 0],
  ],
  ['nothing in what a test logs', '  ✔ a\n    ℹ ✘ log\n      ✔ log\n    - [skip] log', [1, 0, 0]],
];
for (const [what, output, [passed, failed, skipped]] of rows) {
  test(`counts ${what}`, (t) => {
    const counter = count(output);
    t.deepEqual([counter.passed, counter.failed, counter.skipped], [passed, failed, skipped]);
  });
}

test('keeps the details of a failure, and nothing of what passed', (t) => {
  const { failures } = count(
    [
      '  ✔ a',
      '  ✘ dist/test/b.test.js exited due to SIGSEGV',
      '  ✔ c',
      '  ✘ [fail]: d',
      '  ─',
      '  d',
      '  Difference',
      '  ─',
      '  1 test failed',
    ].join('\n'),
  );
  t.deepEqual(failures, ['  ✘ dist/test/b.test.js exited due to SIGSEGV', '  d', '  Difference']);
});

test('keeps nothing of a run without failures', (t) => {
  t.deepEqual(count('  ✔ a\n  ─\n\n  1 test passed').failures, []);
});
