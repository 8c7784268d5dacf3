import test from 'ava';
import { RunningConfiguration } from '../../src/target/configuration/running.ts';
import { Daemon, type DaemonOptions } from '../../src/target/daemon.ts';

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

test('after stop no operation is taken', async (t) => {
  let stopped = false;
  const { call } = daemon({
    stop: () => {
      stopped = true;
    },
  });
  t.deepEqual(await call('stop', {}), { pid: process.pid });
  await t.throwsAsync(async () => call('list', {}), { code: 'stopping' });
  await new Promise((resolve) => setImmediate(resolve));
  t.true(stopped);
});
