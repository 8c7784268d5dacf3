/** `lunport sg` as it is typed: files, exit codes, and what stays from one call to the next. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../../qemu/package-root.ts';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { startServe } from '../../support/serve-process.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());
const path = (name: string) => join(folder.path, name);

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function sg(...args: string[]): Promise<Ended> {
  const main = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
  const env = { ...process.env, XDG_STATE_HOME: path('state') };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, 'sg', ...args], { env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

test('data goes from a file to the disk and back', async (t) => {
  const disk = `${path('raw.img')},create,size=1M`;
  const [from, to] = [path('from'), path('to')];
  const block = Buffer.alloc(512, 'lunport ');
  writeFileSync(from, block);
  t.is(
    (await sg('raw', disk, '-i', from, '2a', '00', '00', '00', '00', '03', '00', '00', '01', '00')).code,
    0,
  );
  const read = await sg('raw', path('raw.img'), '-r', '512', '-o', to, '28000000000300000100');
  t.is(read.out, 'status: GOOD\ntransferred: 512\nresidual: 0\n');
  t.deepEqual(readFileSync(to), block);
  t.deepEqual(readFileSync(path('raw.img')).subarray(3 * 512, 4 * 512), block);
  t.is((await sg('unmap', path('raw.img'), '--lba', '3', '--num', '1')).code, 0);
  t.is((await sg('sync', path('raw.img'))).code, 0);
  t.is(readFileSync(path('raw.img'))[3 * 512], 0);
});

test('what a reservation says stays from one call to the next', async (t) => {
  const disk = `${path('reserved.img')},create,size=1M`;
  t.is((await sg('persist', disk, '--register', '--param-sark', '0x123')).code, 0);
  t.is((await sg('persist', disk, '--reserve', '--param-rk', '123', '--prout-type', '1')).code, 0);
  t.regex(
    (await sg('persist', disk)).out,
    /keys: 0x123\nheld: true\nkey: 0x123\nscope: 0\ntype: write exclusive\n/,
  );
  const stranger = await sg('unmap', disk, '--lba', '0', '--num', '1', '--initiator', 'b');
  t.is(stranger.code, 1);
  t.is(stranger.err, `lunport: ${disk}: UNMAP: RESERVATION CONFLICT\n`);
  t.is((await sg('persist', disk, '--clear', '--param-rk', '123')).code, 0);
  t.is((await sg('unmap', disk, '--lba', '0', '--num', '1', '--initiator', 'b')).code, 0);
});

test('a served disk is not touched', async (t) => {
  const disk = `${path('served.img')},create,size=1M`;
  const serve = await startServe([disk]);
  t.teardown(() => serve.stop());
  const { code, err } = await sg('inq', path('served.img'));
  t.is(code, 1);
  t.regex(err, /served\.img/);
  t.regex(err, /hint: /);
});

const documents: [string, string[], (document: Record<string, unknown>) => unknown, unknown][] = [
  ['inq', [], (document) => document['product'], 'lunport ram'],
  ['vpd', ['-p', 'bl'], (document) => document['page_name'], 'Block Limits'],
  ['readcap', [], (document) => document['bytes'], 1 << 20],
  ['turs', [], (document) => document['ready'], true],
  ['luns', [], ({ luns }) => luns, [{ lun: 0, bytes: '0000000000000000' }]],
  ['opcodes', [], ({ commands }) => Array.isArray(commands), true],
  ['modes', [], ({ pages }) => Array.isArray(pages), true],
  ['logs', [], ({ pages }) => Array.isArray(pages), true],
  ['sync', [], ({ status }) => status, 'GOOD'],
  ['unmap', ['--lba', '0', '--num', '1'], ({ status }) => status, 'GOOD'],
  ['persist', ['--register', '--param-sark', '1'], ({ status }) => status, 'GOOD'],
];
for (const [command, options, value, expected] of documents) {
  test(`${command} --json is one document`, async (t) => {
    const { code, out } = await sg(command, 'ram:1M', '--json', ...options);
    t.is(code, 0);
    t.deepEqual(value(JSON.parse(out)), expected);
  });
}

const failures: [title: string, args: string[], code: number, says: RegExp][] = [
  [
    'a page that the disk has not',
    ['vpd', 'ram:1M', '-p', '0xc0'],
    1,
    /ILLEGAL REQUEST, INVALID FIELD IN CDB \(5\/24\/00\), CDB byte 2/,
  ],
  ['a page that there cannot be', ['vpd', 'ram:1M', '-p', '0x100'], 2, /names no vpd page/],
  [
    'an LBA past the end',
    ['unmap', 'ram:1M', '-l', '4096', '-n', '1'],
    1,
    /LOGICAL BLOCK ADDRESS OUT OF RANGE/,
  ],
  ['a CDB that is none', ['raw', 'ram:1M', 'xyz'], 2, /expected a CDB/],
  ['two actions', ['persist', 'ram:1M', '--register', '--clear'], 2, /one action at a time/],
  [
    'a type that there is not',
    ['persist', 'ram:1M', '--reserve', '-T', '2'],
    2,
    /expected 1, 3, 5, 6, 7 or 8/,
  ],
  ['a disk that is not there', ['inq', '/nonexistent.img'], 1, /nonexistent/],
  ['no subcommand that there is', ['inquiry', 'ram:1M'], 2, /unknown command/],
];
for (const [title, args, expected, says] of failures) {
  test(`${title} ends with ${expected}`, async (t) => {
    const { code, err } = await sg(...args);
    t.is(code, expected, err);
    t.regex(err, says);
  });
}

test('a LUN of a running lunport is asked through its socket, and reservations stay with the name', async (t) => {
  const serve = await startServe(['ram:1M', 'null:4M']);
  t.teardown(() => serve.stop());
  const second = `${serve.socket}:1`;
  writeFileSync(path('zeroes'), new Uint8Array(512));
  t.regex((await sg('readcap', serve.socket)).out, /bytes: 1048576/);
  t.regex((await sg('readcap', second)).out, /bytes: 4194304/);
  t.is((await sg('persist', second, '--initiator', 'a', '--register', '-S', '0xa')).code, 0);
  t.is((await sg('persist', second, '--initiator', 'a', '--reserve', '-K', '0xa', '-T', '1')).code, 0);
  const write = [
    'raw',
    second,
    '--initiator',
    'b',
    '-s',
    '512',
    '-i',
    path('zeroes'),
    '2a000000000000000100',
  ];
  t.regex((await sg(...write)).out, /RESERVATION CONFLICT/);
  t.regex((await sg('persist', second, '--read-keys', '--json')).out, /"?0?x?0*a/);
  t.is((await sg('readcap', `${serve.socket}:9`)).code, 1);
});
