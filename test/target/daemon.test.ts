import test from 'ava';
import { RunningConfiguration } from '../../src/target/configuration/running.ts';
import { Daemon, type DaemonOptions } from '../../src/target/daemon.ts';
import { LunportError } from '../../src/target/errors.ts';

const daemon = (options: Partial<DaemonOptions>) =>
  new Daemon({
    call: async () => null,
    stop: () => {},
    setLogLevel: () => {},
    configuration: new RunningConfiguration({ version: 1, disks: {}, targets: [] }),
    ...options,
  });

test('operations of the table are passed on', async (t) => {
  const called: unknown[] = [];
  const { call } = daemon({
    call: async (...args) => {
      called.push(args);
      return 'done';
    },
  });
  t.is(await call('list', { a: 1 }), 'done');
  t.deepEqual(called, [['list', { a: 1 }]]);
});

test('the log level is set here', async (t) => {
  let level = '';
  const { call } = daemon({
    setLogLevel: (asked) => {
      level = asked;
    },
  });
  await call('log-level', { level: 'debug' });
  t.is(level, 'debug');
  await t.throwsAsync(async () => call('log-level', { level: 'loud' }), { code: 'invalid-parameters' });
});

/** Resolves when whatever could happen without waiting for anything has happened. */
const idle = () => new Promise((resolve) => setImmediate(resolve));

test('stop is answered when everything is closed, and no operation is taken meanwhile', async (t) => {
  const steps: string[] = [];
  const one: Daemon = daemon({
    stop: () => {
      steps.push('stop');
      void one.close(async () => {
        await idle();
        steps.push('closed');
      });
    },
  });
  const answer = one.call('stop', {}).then((result) => {
    steps.push('answered');
    return result;
  });
  await t.throwsAsync(one.call('list', {}), { code: 'stopping' });
  t.deepEqual(await answer, { pid: process.pid });
  t.deepEqual(steps, ['stop', 'closed', 'answered']);
});

test('who asked for the end learns that a disk could not be closed', async (t) => {
  let ended: Promise<void> | undefined;
  const one: Daemon = daemon({
    stop: () => {
      ended = one.close(async () => {
        throw new LunportError({ code: 'EIO', object: 'a.img', message: 'Cannot sync a.img' });
      });
    },
  });
  await t.throwsAsync(one.call('stop', {}), { code: 'EIO', message: 'Cannot sync a.img' });
  await t.throwsAsync(ended!, { code: 'EIO' });
});

test('the end waits for the change that is under way, and those behind it do not happen', async (t) => {
  const steps: string[] = [];
  let finish!: () => void;
  const one = daemon({
    call: async (name) => {
      steps.push(name);
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      steps.push(`${name} done`);
      return {};
    },
  });
  const first = one.call('detach', { name: 'a' });
  const second = one.call('attach', {});
  await idle();
  const ended = one.close(async () => {
    steps.push('closed');
  });
  await idle();
  t.deepEqual(steps, ['detach']);
  finish();
  await t.throwsAsync(second, { code: 'stopping' });
  t.deepEqual(await first, {});
  await ended;
  t.deepEqual(steps, ['detach', 'detach done', 'closed']);
});
