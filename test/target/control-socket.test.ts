import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect } from 'node:net';
import test from 'ava';
import { ControlClient } from '../../src/target/control-client.ts';
import { ControlSocket, MAX_REQUEST } from '../../src/target/control-socket.ts';
import { LunportError } from '../../src/target/errors.ts';
import { type Controlled, startControlled } from '../support/control.ts';

let controlled: Controlled;
test.before(async () => {
  controlled = await startControlled(['ram:1M', 'null:1G,ro']);
});
test.after.always(() => controlled.close());

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Everything that comes back, until the other side hangs up. */
async function exchange(...pieces: (string | Buffer)[]): Promise<string> {
  const socket = connect(controlled.controlPath);
  let received = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    received += text;
  });
  socket.on('error', () => {});
  for (const piece of pieces) socket.write(piece);
  await once(socket, 'close');
  return received;
}

test('the socket is for its owner alone', (t) => {
  t.is(statSync(controlled.controlPath).mode & 0o777, 0o600);
});

test('a live socket is not taken over, a dead one is', async (t) => {
  t.throws(() => new ControlSocket(controlled.controlPath, async () => null, log), { code: 'EADDRINUSE' });
  const abandoned = `${controlled.folder}/abandoned.ctl`;
  const { execFileSync } = await import('node:child_process');
  const script = `const s = require('net').createServer().listen(${JSON.stringify(abandoned)}, () => process.kill(process.pid, 'SIGKILL'))`;
  t.throws(() => execFileSync(process.execPath, ['-e', script]));
  t.true(statSync(abandoned).isSocket());
  const socket = new ControlSocket(abandoned, async () => 'here', log);
  const client = await ControlClient.connect(abandoned);
  t.is(await client.call('anything'), 'here');
  client.close();
  socket.close();
});

test('list tells targets, LUNs and nexuses', async (t) => {
  const { targets } = (await controlled.client.call('list')) as unknown as { targets: unknown[] };
  t.like(targets, [
    {
      sockets: [{ path: controlled.socketPath, role: 'listen' }],
      luns: [
        {
          lun: 0,
          disk: 'ram:1M',
          kind: 'ram',
          size: 1 << 20,
          blocks: 2048,
          readOnly: false,
          reservation: null,
        },
        { lun: 1, disk: 'null:1G,ro', kind: 'null', size: 2 ** 30, readOnly: true },
      ],
      vhostUser: [{ connects: 0 }],
      nexuses: [{ relativePort: 1 }],
    },
  ]);
});

test('requests on one connection are answered in their order', async (t) => {
  const line = (id: number, method: string) => `${JSON.stringify({ jsonrpc: '2.0', id, method })}\n`;
  const socket = connect(controlled.controlPath);
  const lines: string[] = [];
  socket.setEncoding('utf8').on('data', (text: string) => lines.push(...text.split('\n').filter(Boolean)));
  socket.write(line(7, 'list') + line(8, 'nonsense'));
  socket.write(line(9, 'list'));
  while (lines.length < 3) await once(socket, 'data');
  socket.destroy();
  t.deepEqual(
    lines.map((text) => JSON.parse(text)).map(({ id, error }) => [id, error?.code]),
    [
      [7, undefined],
      [8, -32601],
      [9, undefined],
    ],
  );
});

const refusals: [title: string, name: string, params: object, code: string][] = [
  ['an unknown operation', 'fly', {}, 'unknown-operation'],
  ["an object's own name", 'constructor', {}, 'unknown-operation'],
  ['an unknown parameter', 'list', { all: true }, 'invalid-parameters'],
];
for (const [title, name, params, code] of refusals) {
  test(`${title}: ${code}`, async (t) => {
    const client = await ControlClient.connect(controlled.controlPath);
    await t.throwsAsync(client.call(name, params as never), { instanceOf: LunportError, code });
    client.close();
  });
}

const hostile: [title: string, pieces: (string | Buffer)[], reason: RegExp][] = [
  ['bytes that are no JSON', ['GET / HTTP/1.1\r\n\r\n'], /not JSON/],
  ['a number', ['1\n'], /not a JSON-RPC 2.0 request/],
  ['brackets without end', [`${'['.repeat(1 << 20)}\n`], /not JSON/],
  ['a line without end', [Buffer.alloc(MAX_REQUEST + 1, 0x20)], /more than \d+ bytes/],
  ['a line that is too long', [Buffer.alloc(MAX_REQUEST, 0x20), '        \n'], /more than \d+ bytes/],
];
for (const [title, pieces, reason] of hostile) {
  test(`${title}: told why, and hung up on`, async (t) => {
    const { error, id } = JSON.parse(await exchange(...pieces));
    t.is(id, null);
    t.regex(error.message, reason);
    t.true(controlled.warnings.some((warning) => reason.test(warning)));
  });
}

test('a client that leaves in the middle of a request harms nobody', async (t) => {
  const socket = connect(controlled.controlPath);
  socket.end('{"jsonrpc":');
  await once(socket, 'close');
  t.like(await controlled.client.call('list'), { targets: [{ sockets: [{ path: controlled.socketPath }] }] });
});
