import { spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';
import test from 'ava';
import {
  checked,
  describeErrno,
  Errno,
  fromNodeError,
  LunportError,
  systemError,
} from '../../src/native/errno.ts';

test('an errno becomes a sentence, a code and a hint', (t) => {
  const error = systemError(-13, 'open', '/dev/sdz');
  t.true(error instanceof Error);
  t.is(error.name, 'LunportError');
  t.is(error.message, 'Cannot open /dev/sdz: permission denied');
  t.is(error.code, 'EACCES');
  t.is(error.object, '/dev/sdz');
  t.regex(error.hint!, /permissions/);
});

test('the names are those of the system', (t) => {
  for (const [name, value] of Object.entries(Errno)) {
    const [code] = describeErrno(value);
    t.is(code, name);
  }
});

test('hints exist for what people run into', (t) => {
  const common = [
    'ENOENT',
    'EACCES',
    'EISDIR',
    'EBUSY',
    'EADDRINUSE',
    'ENOSPC',
    'EMFILE',
    'ENOMEM',
    'EPERM',
    'EINVAL',
  ];
  for (const name of [...common, 'EROFS', 'EOPNOTSUPP', 'ENOSYS', 'EIO'] as (keyof typeof Errno)[]) {
    t.truthy(systemError(Errno[name], 'do it with', 'it').hint, name);
  }
});

test('an unknown errno still says its number', (t) => {
  const error = systemError(-9999, 'open', 'x');
  t.is(error.code, 'E9999');
  t.is(error.message, 'Cannot open x: system error 9999');
  t.is(error.hint, undefined);
});

test('checked passes results on and throws failures', (t) => {
  t.is(checked(0, 'open', 'x'), 0);
  t.is(checked(42, 'open', 'x'), 42);
  t.throws(() => checked(-2, 'open', 'x'), { instanceOf: LunportError, code: 'ENOENT' });
});

test('an error of node:fs keeps its cause', (t) => {
  const cause = t.throws(() => openSync('/does/not/exist', 'r'));
  const error = fromNodeError(cause, 'open', '/does/not/exist') as LunportError;
  t.true(error instanceof LunportError);
  t.is(error.code, 'ENOENT');
  t.is(error.cause, cause);
  const other = new Error('other');
  t.is(fromNodeError(other, 'open', 'x'), other);
  t.is(fromNodeError('text', 'open', 'x'), 'text');
});

test('an addon that cannot be loaded says what to do', (t) => {
  const script = `
    import(${JSON.stringify(new URL('../../src/native/addon.js', import.meta.url).href)}).catch((error) => {
      console.log(JSON.stringify({ code: error.code, object: error.object, hint: error.hint, message: error.message,
        cause: String(error.cause) }));
    });`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { ...process.env, LUNPORT_ADDON: '/missing.node', LD_PRELOAD: '' },
  });
  const error = JSON.parse(child.stdout) as Record<string, string>;
  t.is(error['code'], 'addon-not-loaded');
  t.is(error['object'], '/missing.node');
  t.regex(error['message'], /native addon for linux-/);
  t.regex(error['hint'], /node-gyp rebuild/);
  t.regex(error['cause'], /missing\.node/);
});
