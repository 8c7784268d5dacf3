/** Folders that cannot be made, or that belong to somebody else, are an error with a way out of it. */
import { chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { runtimeDirectory, stateDirectory } from '../../src/target/directories.ts';
import { LunportError } from '../../src/target/errors.ts';

const folders = [
  { variable: 'XDG_RUNTIME_DIR', directory: runtimeDirectory },
  { variable: 'XDG_STATE_HOME', directory: stateDirectory },
] as const;

function within(t: ExecutionContext, variable: string, folder: string): string {
  const base = join(mkdtempSync(join(tmpdir(), 'lunport-')), folder);
  const before = process.env[variable];
  process.env[variable] = base;
  t.teardown(() => {
    if (before === undefined) delete process.env[variable];
    else process.env[variable] = before;
    rmSync(join(base, '..'), { recursive: true, force: true });
  });
  return base;
}

for (const { variable, directory } of folders) {
  test.serial(`${variable} that is not there yet is made, for this user only`, (t) => {
    const base = within(t, variable, 'new/run');
    t.is(directory(), join(base, 'lunport'));
    t.is(statSync(join(base, 'lunport')).mode & 0o777, 0o700);
  });

  test.serial(`${variable} that cannot be made is an error that names the variable`, (t) => {
    const base = within(t, variable, 'file');
    writeFileSync(base, '');
    const error = t.throws(directory, { instanceOf: LunportError });
    t.is(error.code, 'ENOTDIR');
    t.true(error.message.includes(join(base, 'lunport')));
    t.true(error.hint?.includes(variable));
  });
}

const asRoot = process.getuid!() === 0 ? test.serial : undefined;
asRoot?.('a runtime folder of somebody else is refused: its owner would own the sockets', (t) => {
  const base = within(t, 'XDG_RUNTIME_DIR', 'tmp');
  mkdirSync(join(base, 'lunport'), { recursive: true });
  chownSync(join(base, 'lunport'), 4711, 4711);
  t.is(t.throws(runtimeDirectory, { instanceOf: LunportError }).code, 'foreign-directory');
});
