/** Against real QEMU programs, both ways: we refuse what QEMU holds, and QEMU refuses what we hold. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { LunportError } from '../../src/native/errno.ts';
import { type LockOptions, lockImage, unlockImage } from '../../src/native/file-lock.ts';
import { MIB, openFile, PROGRAMS, temporaryFolder } from './support.ts';

// A preloaded sanitizer is for Node.js, not for QEMU.
const ENVIRONMENT = { ...process.env, LD_PRELOAD: '' };

const READ: LockOptions = { write: false, share: false };
const WRITE: LockOptions = { write: true, share: false };
const SHARED_READ: LockOptions = { write: false, share: true };
const SHARED_WRITE: LockOptions = { write: true, share: true };

function image(t: ExecutionContext): string {
  const path = join(temporaryFolder(t), 'disk.img');
  ftruncateSync(openFile(t, path), MIB);
  return path;
}

function locks(fd: number, path: string, options: LockOptions): boolean {
  try {
    lockImage(fd, path, options);
    return true;
  } catch (error) {
    if (error instanceof LunportError && error.code === 'image-in-use') return false;
    throw error;
  }
}

/** Whether qemu-io can open the image, and what it said. */
function qemuOpens(path: string, ...options: string[]): { opens: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync(
    PROGRAMS.qemuIo,
    ['-f', 'raw', ...options, '-c', 'read 0 512', path],
    { encoding: 'utf8', env: ENVIRONMENT },
  );
  return { opens: status === 0, output: stdout + stderr };
}

/** A qemu-io that holds the image open until the test ends. */
async function qemuHolds(t: ExecutionContext, path: string, ...options: string[]): Promise<number> {
  const child: ChildProcessWithoutNullStreams = spawn(PROGRAMS.qemuIo, ['-f', 'raw', ...options, path], {
    env: ENVIRONMENT,
  });
  t.teardown(() => child.kill());
  let output = '';
  child.stderr.on('data', (chunk) => (output += chunk));
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      output += chunk;
      if (output.includes('read 512')) resolve();
    });
    child.once('exit', () => reject(new Error(output)));
    child.stdin.write('read 0 512\n');
  });
  return child.pid!;
}

for (const [first, second, together] of [
  [READ, READ, true],
  [READ, WRITE, false],
  [WRITE, READ, false],
  [WRITE, WRITE, false],
  [SHARED_WRITE, SHARED_WRITE, true],
  [SHARED_WRITE, SHARED_READ, true],
  [SHARED_WRITE, WRITE, false],
  [WRITE, SHARED_WRITE, false],
  [READ, SHARED_WRITE, false],
  [READ, SHARED_READ, true],
] as const) {
  const name = ({ write, share }: LockOptions) => `${share ? 'sharing ' : ''}${write ? 'writer' : 'reader'}`;
  test(`a ${name(first)} and a ${name(second)} ${together ? 'coexist' : 'exclude each other'}`, (t) => {
    const path = image(t);
    const one = openFile(t, path);
    const two = openFile(t, path);
    lockImage(one, path, first);
    t.is(locks(two, path, second), together);
    if (together) return;
    // Who was refused holds nothing: a third one with the first's wishes still fits, or not, as before.
    unlockImage(one);
    t.true(locks(openFile(t, path), path, second));
  });
}

test('the error names the image, its user, and a way out', (t) => {
  const path = image(t);
  lockImage(openFile(t, path), path, WRITE);
  const error = t.throws(() => lockImage(openFile(t, path), path, WRITE), { instanceOf: LunportError });
  t.is(error.code, 'image-in-use');
  t.is(error.object, path);
  t.is(error.message, `Cannot write to ${path}: this lunport uses it`);
  t.regex(error.hint!, /share/);
});

test('a lock ends with its descriptor', (t) => {
  const path = image(t);
  const fd = openSync(path, 'r+');
  lockImage(fd, path, WRITE);
  closeSync(fd);
  t.true(locks(openFile(t, path), path, WRITE));
});

test('a read-only descriptor can be locked', (t) => {
  const path = image(t);
  const fd = openSync(path, constants.O_RDONLY);
  t.teardown(() => closeSync(fd));
  lockImage(fd, path, READ);
  t.false(locks(openFile(t, path), path, WRITE));
});

test('QEMU neither writes nor resizes what we write', (t) => {
  const path = image(t);
  lockImage(openFile(t, path), path, WRITE);
  const { opens, output } = qemuOpens(path);
  t.false(opens, output);
  t.regex(output, /lock/);
  t.true(qemuOpens(path, '-r').opens, 'its tools read a disk in use: they let others write');
  const resize = spawnSync(PROGRAMS.qemuImg, ['resize', '-f', 'raw', path, '2M'], {
    encoding: 'utf8',
    env: ENVIRONMENT,
  });
  t.not(resize.status, 0);
  t.regex(resize.stderr, /lock/);
});

test('QEMU reads what we read, and does not write it', (t) => {
  const path = image(t);
  lockImage(openFile(t, path), path, READ);
  t.true(qemuOpens(path, '-r').opens);
  t.false(qemuOpens(path).opens);
});

test('we do not touch what QEMU writes, and say who it is', async (t) => {
  const path = image(t);
  const pid = await qemuHolds(t, path);
  // (qemu-io lets others write, so only our own wishes conflict here.)
  for (const options of [READ, WRITE]) {
    const error = t.throws(() => lockImage(openFile(t, path), path, options), { instanceOf: LunportError });
    t.is(error.code, 'image-in-use');
    t.true(error.message.includes(`qemu-io (process ${pid})`), error.message);
  }
});

test('we read what QEMU reads, and do not write it', async (t) => {
  const path = image(t);
  await qemuHolds(t, path, '-r');
  t.true(locks(openFile(t, path), path, READ));
  t.false(locks(openFile(t, path), path, WRITE));
});

test('a running guest’s disk is refused, and its guest refuses ours', async (t) => {
  const path = image(t);
  const qemu = [
    'qemu-system-x86_64',
    '-M',
    'microvm',
    '-accel',
    'tcg',
    '-nodefaults',
    '-display',
    'none',
    '-S',
  ];
  const disk = ['-drive', `file=${path},format=raw,if=none,id=d`, '-device', 'virtio-blk-device,drive=d'];
  if (spawnSync(qemu[0], ['--version']).status !== 0) {
    t.log('no qemu-system-x86_64');
    t.pass();
    return;
  }
  const fd = openFile(t, path);
  lockImage(fd, path, WRITE);
  const [program, ...options] = qemu;
  const refused = spawnSync(program, [...options, ...disk], {
    encoding: 'utf8',
    env: ENVIRONMENT,
    timeout: 20_000,
  });
  t.is(refused.status, 1, refused.stderr);
  t.regex(refused.stderr, /Failed to get .*lock/);

  unlockImage(fd);
  const running = spawn(program, [...options, '-qmp', 'stdio', ...disk], { env: ENVIRONMENT });
  t.teardown(() => running.kill());
  // The greeting comes early; an answer comes when the machine is complete.
  running.stdin.write('{"execute":"qmp_capabilities"}\n');
  await new Promise<void>((resolve) => {
    running.stdout.on('data', (chunk) => {
      if (String(chunk).includes('return')) resolve();
    });
  });
  for (const wishes of [READ, WRITE, SHARED_WRITE]) {
    const error = t.throws(() => lockImage(fd, path, wishes), { instanceOf: LunportError });
    t.regex(error.message, /qemu-system-x86 \(process \d+\)/);
  }
  t.true(locks(fd, path, SHARED_READ));
  unlockImage(fd);
  const exited = new Promise((resolve) => running.once('exit', resolve));
  running.kill();
  await exited;
  t.true(locks(fd, path, WRITE));
});
