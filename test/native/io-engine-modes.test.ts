/** How the engine waits: io_uring, or threads where that is forbidden. */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import { Errno, LunportError } from '../../src/native/errno.ts';
import { IoEngine } from '../../src/native/io-engine.ts';

test('an engine that cannot be made is an error', (t) => {
  const error = t.throws(() => new IoEngine({ depth: 0 }), { instanceOf: LunportError, code: 'EINVAL' });
  t.regex(error.message, /io engine/);
});

test.serial('LUNPORT_IO chooses the mode, unless the code does', (t) => {
  t.teardown(() => {
    delete process.env['LUNPORT_IO'];
  });
  process.env['LUNPORT_IO'] = 'threads';
  const forced = new IoEngine();
  t.is(forced.mode, 'threads');
  forced.close();
  process.env['LUNPORT_IO'] = 'magic';
  t.throws(() => new IoEngine(), { message: /LUNPORT_IO/ });
  const chosen = new IoEngine({ mode: 'threads' });
  t.is(chosen.mode, 'threads');
  chosen.close();
});

/** Runs a program for which io_uring_setup (425 on every machine) fails with EPERM, as in many containers. */
const FORBID_IO_URING = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = b''.join(struct.pack('HBBI', *row) for row in [
  (0x20, 0, 0, 0),            # load the system call's number
  (0x15, 0, 1, 425),          # is it io_uring_setup?
  (0x06, 0, 0, 0x00050001),   # then fail with EPERM
  (0x06, 0, 0, 0x7fff0000)])  # else allow
filter = ctypes.create_string_buffer(code)
program = struct.pack('HxxxxxxP', 4, ctypes.addressof(filter))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.c_char_p(program)) == 0
os.execv(sys.argv[1], sys.argv[1:])
`;

test('where io_uring is forbidden, threads do its work', (t) => {
  const url = (name: string) => JSON.stringify(new URL(`../../src/native/${name}.js`, import.meta.url).href);
  const script = `
    const { addon } = await import(${url('addon')});
    const { IoEngine } = await import(${url('io-engine')});
    const { openSync } = await import('node:fs');
    let refused = '';
    try { new IoEngine({ mode: 'io_uring' }); } catch (error) { refused = error.code; }
    const engine = new IoEngine();
    const results = [];
    engine.fsync(openSync(${JSON.stringify(import.meta.filename)}, 'r'), { ioCompleted: (result) => results.push(result) });
    await engine.drain();
    engine.close();
    console.log(addon.probeIoUring(), refused, engine.mode, results.join());`;
  const options = ['-c', FORBID_IO_URING, process.execPath, '--input-type=module', '-e', script];
  const child = spawnSync('python3', options, { encoding: 'utf8' });
  t.is(child.stdout.trim(), `${Errno.EPERM} EPERM threads 0`, child.stderr);
});
