/** `lunport serve --config`: what is added to it is there after a kill and a restart. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { ControlClient } from '../../../src/target/control-client.ts';
import { lunport } from '../../support/lunport-command.ts';
import { type ServeProcess, serveConfiguration, startServe } from '../../support/serve-process.ts';

function folderOf(t: ExecutionContext): (name: string) => string {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  return (name) => join(folder.path, name);
}

/** One target with a disk of memory, and the rest that is given. */
function write(path: (name: string) => string, more: object = {}): string {
  const file = path('lunport.json');
  const document = {
    version: 1,
    disks: { memory: { kind: 'ram', size: '1M' } },
    targets: [{ sockets: [{ path: 'a.sock' }], luns: [{ lun: 0, disk: 'memory' }] }],
    stateDirectory: 'state',
    ...more,
  };
  writeFileSync(file, JSON.stringify(document));
  return file;
}

async function serving(t: ExecutionContext, file: string): Promise<ServeProcess> {
  const serve = await serveConfiguration(file);
  t.teardown(() => serve.kill());
  return serve;
}

interface Listed {
  readonly targets: readonly {
    readonly luns: readonly { readonly lun: number; readonly size: number; readonly naa: string }[];
    readonly absent: readonly { readonly lun: number; readonly reason: string }[];
  }[];
}

async function list(socket: string): Promise<Listed['targets']> {
  return (JSON.parse((await lunport('list', socket, '--json')).stdout) as Listed).targets;
}

test('what was added and grown is there after kill -9, and what was removed is not', async (t) => {
  const path = folderOf(t);
  const file = write(path);
  const socket = path('a.sock');
  const first = await serving(t, file);
  await lunport('add', socket, `${path('b.img')},create,size=1M`, '--lun', '7');
  await lunport('add', socket, 'ram:2M');
  await lunport('resize', socket, '7', '3M');
  await lunport('remove', socket, '0');
  const [before] = await list(socket);
  await first.kill();
  t.is(statSync(file).mode & 0o777, 0o600);
  const second = await serving(t, file);
  const [after] = await list(socket);
  t.deepEqual(
    after.luns.map(({ naa }) => naa),
    before.luns.map(({ naa }) => naa),
  );
  t.deepEqual(
    after.luns.map(({ lun, size }) => [lun, size]),
    [
      [1, 2 << 20],
      [7, 3 << 20],
    ],
  );
  t.is(await second.stop(), 0);
});

test('whenever kill -9 comes, what was answered is in the file, and the file is whole', async (t) => {
  const path = folderOf(t);
  const file = write(path);
  const socket = path('a.sock');
  let answered = 1;
  for (const adds of [1, 4, 9]) {
    const serve = await serving(t, file);
    const client = await ControlClient.connect(`${socket}.ctl`);
    for (let i = 0; i < adds; i++) await client.call('add', { disk: 'null:1M' });
    answered += adds;
    // One more is under way when it dies.
    const last = client.call('add', { disk: 'null:1M' });
    await Promise.all([serve.kill(), t.notThrowsAsync(last.catch(() => {}))]);
    client.close();
    const { luns } = JSON.parse(readFileSync(file, 'utf8')).targets[0] as {
      readonly luns: readonly unknown[];
    };
    t.true(luns.length === answered || luns.length === answered + 1, `${luns.length} of ${answered}`);
    answered = luns.length;
  }
  writeFileSync(`${file}.4711.1.tmp`, '{');
  const serve = await serving(t, file);
  t.is((await list(socket))[0].luns.length, answered);
  t.false(existsSync(`${file}.4711.1.tmp`));
  t.is(await serve.stop(), 0);
});

test('a disk that has vanished costs its LUN only, is not made again, and keeps its place', async (t) => {
  const path = folderOf(t);
  const file = write(path);
  const socket = path('a.sock');
  const first = await serving(t, file);
  await lunport('add', socket, `${path('b.img')},create,size=1M`);
  t.is(await first.stop(), 0);
  rmSync(path('b.img'));
  const second = await serving(t, file);
  t.regex(second.errors(), /LUN 1 of .*a\.sock is left out: .*b\.img/);
  t.false(existsSync(path('b.img')));
  const [{ luns, absent }] = await list(socket);
  t.deepEqual(
    luns.map(({ lun }) => lun),
    [0],
  );
  t.is(absent[0].lun, 1);
  t.regex((await lunport('list', socket)).stdout, /LUN 1: absent: .*b\.img/);
  await lunport('add', socket, 'ram:1M');
  await t.throwsAsync(lunport('add', socket, 'ram:1M', '--lun', '1'), { message: /has a LUN 1 already/ });
  t.deepEqual(
    (await list(socket))[0].luns.map(({ lun }) => lun),
    [0, 2],
  );
  await lunport('remove', socket, '1');
  t.deepEqual(Object.keys(JSON.parse(readFileSync(file, 'utf8')).disks), ['memory', 'ram']);
  t.is(await second.stop(), 0);
});

test('a disk that could not be made yet is made at a later start, whatever was added meanwhile', async (t) => {
  const path = folderOf(t);
  const file = write(path, {
    disks: {
      memory: { kind: 'ram', size: '1M' },
      later: { kind: 'file', path: 'mounted/later.img', create: true, size: '1M' },
    },
    targets: [
      {
        sockets: [{ path: 'a.sock' }],
        luns: [
          { lun: 0, disk: 'memory' },
          { lun: 1, disk: 'later' },
        ],
      },
    ],
  });
  const first = await serving(t, file);
  await lunport('add', path('a.sock'), 'ram:1M');
  t.is(await first.stop(), 0);
  mkdirSync(path('mounted'));
  const second = await serving(t, file);
  t.deepEqual(
    (await list(path('a.sock')))[0].luns.map(({ lun }) => lun),
    [0, 1, 2],
  );
  await lunport('remove', path('a.sock'), '2');
  t.deepEqual(JSON.parse(readFileSync(file, 'utf8')).disks.later, {
    kind: 'file',
    path: path('mounted/later.img'),
  });
  t.is(await second.stop(), 0);
});

test('one disk in two targets is one logical unit: a name, and a reservation that the other target sees', async (t) => {
  const path = folderOf(t);
  const luns = [{ lun: 0, disk: 'memory' }];
  const file = write(path, {
    targets: [
      { sockets: [{ path: 'a.sock' }], luns },
      { sockets: [{ path: 'b.sock' }], luns: [{ lun: 5, disk: 'memory' }] },
    ],
    shards: 2,
  });
  const serve = await serving(t, file);
  await lunport('sg', 'persist', '--register', '--param-sark', '1', `${path('a.sock')}:0`);
  const [one] = await list(path('a.sock'));
  const [, other] = await list(path('b.sock'));
  t.is(one.luns[0].naa, other.luns[0].naa);
  const { stdout } = await lunport('sg', 'persist', '--read-keys', `${path('b.sock')}:5`);
  t.regex(stdout, /0x0*1\b/);
  await lunport('remove', path('b.sock'), '5', '--force');
  await lunport('sg', 'inq', `${path('a.sock')}:0`);
  t.is(await serve.stop(), 0);
});

test('secrets that others can read are refused, and so is a file that is not right', async (t) => {
  const path = folderOf(t);
  const credentials = { user: 'u', secret: 'a secret of some length' };
  const file = write(path, {
    iscsi: { addresses: [{ host: '127.0.0.1', port: 0 }], target: { credentials } },
  });
  chmodSync(file, 0o640);
  await t.throwsAsync(serving(t, file), { message: /its mode is 0640/ });
  chmodSync(file, 0o600);
  const serve = await serving(t, file);
  t.is(await serve.stop(), 0);
  writeFileSync(file, readFileSync(file, 'utf8').slice(0, -3));
  await t.throwsAsync(serving(t, file), { message: /is no JSON/ });
  writeFileSync(file, '{"version":1,"disks":{},"targets":[]}');
  await t.throwsAsync(serving(t, file), { message: /lunport\.json has no targets/ });
  await t.throwsAsync(serving(t, path('none.json')), { message: /none\.json/ });
  await t.throwsAsync(lunport('serve', 'ram:1M', '--config', file), { code: 2 });
  await t.throwsAsync(lunport('serve', '--config', file, '--shards', '2'), { code: 2, message: /--shards/ });
});

test('an upgrade by --takeover serves what the file says now, also where a disk of it is missing', async (t) => {
  const path = folderOf(t);
  const file = write(path, { metrics: { host: '127.0.0.1', port: 0 } });
  const socket = path('a.sock');
  const first = await serving(t, file);
  await lunport('add', socket, `${path('b.img')},create,size=1M`);
  const document = JSON.parse(readFileSync(file, 'utf8'));
  document.disks.gone = { kind: 'file', path: 'gone.img' };
  document.targets[0].luns.push({ lun: 4, disk: 'gone' });
  writeFileSync(file, JSON.stringify(document));
  const second = await serveConfiguration(file, ['--takeover']);
  t.teardown(() => second.kill());
  t.is(await first.exited, 0);
  const [{ luns, absent }] = await list(socket);
  t.deepEqual([luns.map(({ lun }) => lun), absent.map(({ lun }) => lun)], [[0, 1], [4]]);
  t.is((await fetch(second.metrics!)).status, 200);
  t.regex(
    await (await fetch(second.metrics!)).text(),
    /lunport_lun_absent\{target="[^"]*a\.sock",lun="4"\} 1/,
  );
  t.is(await second.stop(), 0);
});

test('a disk that is added while --takeover begins is served by the new process', async (t) => {
  const path = folderOf(t);
  const file = write(path);
  const first = await serving(t, file);
  const client = await ControlClient.connect(`${path('a.sock')}.ctl`);
  t.teardown(() => client.close());
  await client.call('list');
  process.kill(first.pid, 'SIGSTOP');
  const added = client.call('add', { disk: 'null:1M' });
  const taking = serveConfiguration(file, ['--takeover']);
  while (!/^ShdPnd:\s*0*4...$/m.test(readFileSync(`/proc/${first.pid}/status`, 'utf8'))) await delay(10);
  process.kill(first.pid, 'SIGCONT');
  const second = await taking;
  t.teardown(() => second.kill());
  t.is(((await added) as { readonly lun: number }).lun, 1);
  t.deepEqual(
    (await list(path('a.sock')))[0].luns.map(({ lun }) => lun),
    [0, 1],
  );
  t.is(await second.stop(), 0);
});

test('what `lunport save` wrote to its file is followed by what is added later', async (t) => {
  const path = folderOf(t);
  const file = write(path);
  const serve = await serving(t, file);
  await lunport('save', path('a.sock'), file);
  await lunport('add', path('a.sock'), 'ram:2M');
  t.is(JSON.parse(readFileSync(file, 'utf8')).targets[0].luns.length, 2);
  t.is(await serve.stop(), 0);
});

test('a configuration behind a symbolic link stays there; a socket stays a socket', async (t) => {
  const path = folderOf(t);
  const file = write(path);
  mkdirSync(path('links'));
  symlinkSync('../lunport.json', path('links/lunport.json'));
  const serve = await serving(t, path('links/lunport.json'));
  const socket = path('links/a.sock');
  await lunport('add', socket, 'ram:2M');
  t.true(lstatSync(path('links/lunport.json')).isSymbolicLink());
  t.is(JSON.parse(readFileSync(file, 'utf8')).targets[0].luns.length, 2);
  await t.throwsAsync(lunport('save', socket, socket), { message: /is no file that could be replaced/ });
  await lunport('list', socket);
  t.is(await serve.stop(), 0);
});

test('what somebody else has written in the meantime is not written over', async (t) => {
  const path = folderOf(t);
  const file = write(path);
  const serve = await serving(t, file);
  const changed = `${readFileSync(file, 'utf8')}\n`;
  writeFileSync(file, changed);
  await t.throwsAsync(lunport('add', path('a.sock'), 'ram:1M'), {
    message: /"add" is done, LUN 1, .*was changed by somebody else/,
  });
  t.is(readFileSync(file, 'utf8'), changed);
  await lunport('save', path('a.sock'), path('other.json'));
  t.is(await serve.stop(), 0);
  const again = await serving(t, path('other.json'));
  t.deepEqual(
    (await list(path('a.sock')))[0].luns.map(({ lun }) => lun),
    [0, 1],
  );
  t.is(await again.stop(), 0);
});

test('a lunport of the command line is saved, and started again from that with the same names', async (t) => {
  const path = folderOf(t);
  const serve = await startServe(
    ['ram:1M,serial=S', `${path('a.img')},create,size=1M,pi=1,attr.emulate_tpu=0`],
    {
      socket: path('a.sock'),
      serveArguments: [
        '--iscsi',
        '127.0.0.1:0',
        '--acl',
        'iqn.2026-01.com.example:x,lun=0:1:ro',
        '--poll-us',
        '5',
      ],
    },
  );
  t.teardown(() => serve.kill());
  const before = await list(path('a.sock'));
  await t.throwsAsync(lunport('save', path('a.sock')), { message: /started without --config/ });
  await lunport('save', path('a.sock'), path('saved.json'));
  t.is(statSync(path('saved.json')).mode & 0o777, 0o600);
  await serve.kill();
  const again = await serving(t, path('saved.json'));
  const [{ luns }] = await list(path('a.sock'));
  t.deepEqual(
    luns.map(({ naa }) => naa),
    before[0].luns.map(({ naa }) => naa),
  );
  t.is(await again.stop(), 0);
});
