/** Failures before any command runs are told like the others. */
import { spawnSync } from 'node:child_process';
import test from 'ava';

test('an addon that does not load is an error with a way out, not a stack trace', (t) => {
  const env = { ...process.env, LUNPORT_ADDON: '/nowhere/lunport.node' };
  const { status, stderr } = spawnSync(process.execPath, ['dist/src/cli/main.js', '--help'], {
    env,
    encoding: 'utf8',
  });
  t.is(status, 1);
  t.regex(stderr, /^lunport: Cannot load lunport's native addon/);
  t.regex(stderr, /hint: .*make build/s);
  t.notRegex(stderr, /^\s+at /m);
});
