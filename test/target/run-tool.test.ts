import { inspect } from 'node:util';
import test from 'ava';
import { runTool } from '../../src/target/run-tool.ts';

const failures: readonly [title: string, program: string, args: readonly string[], message: string][] = [
  [
    'that says why',
    'sh',
    ['-c', 'echo no such thing >&2; exit 3', 'sh', 'SECRET'],
    'disk: sh: no such thing',
  ],
  ['that says nothing', 'sh', ['-c', 'exit 3', 'sh', 'SECRET'], 'disk: sh: it failed with status 3'],
  ['that was killed', 'sh', ['-c', 'kill -9 $$', 'sh', 'SECRET'], 'disk: sh: it was ended by SIGKILL'],
  ['that is not there', 'no-such-tool', ['SECRET'], 'disk: no-such-tool: no-such-tool is not installed'],
];
for (const [title, program, args, message] of failures) {
  test(`a tool ${title} is an error without its arguments, which may hold secrets`, async (t) => {
    const error = await t.throwsAsync(runTool(program, args, 'disk'), { message });
    t.false(inspect(error, { depth: 9 }).includes('SECRET'));
  });
}

test('what a tool prints is its result', async (t) => {
  t.is(await runTool('echo', [' a '], 'disk'), 'a');
});
