/** A LUN of a running lunport that a guest and this host use at once: a reservation decides who writes. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { packageRoot } from '../../qemu/package-root.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { OUT, type Out, type OutFields, parameterList, TYPES } from '../support/persistent-reservations.ts';
import { type ServeProcess, startServe } from '../support/serve-process.ts';
import { FrontEnd } from '../support/vhost-user/front-end.ts';
import { bootGuest, type Guest } from '../support/vhost-user/served.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());
process.env['XDG_RUNTIME_DIR'] = folder.path;
const main = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');

interface Ended {
  readonly code: number;
  readonly text: string;
}

function lunport(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), text: stdout + stderr });
    });
  });
}

async function reserveOut({ driver }: Guest, action: Out, fields: OutFields): Promise<number> {
  const dataOut = parameterList(fields);
  const { status } = await driver.execute({
    cdb: [0x5f, OUT[action], fields.type ?? 0, 0, 0, 0, 0, 0, dataOut.length, 0],
    dataOut,
  });
  return status;
}

const WRITE = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512).fill(0x5a) };
const BLOCK = 4096;
const DONE: Ended = { code: 0, text: '' };

/** Undefined, or the error's name. */
async function writeTo(path: string): Promise<string | undefined> {
  const file = await open(path, 'r+');
  try {
    await file.write(Buffer.alloc(BLOCK, 0xa5), 0, BLOCK, BLOCK);
    await file.sync();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  } finally {
    await file.close().catch(() => {});
  }
}

async function serve(t: { teardown(step: () => unknown): void }, disk: string): Promise<ServeProcess> {
  const serving = await startServe([disk]);
  t.teardown(() => serving.kill());
  return serving;
}

test.serial('whoever holds the reservation writes, guest or host; and both see a new size', async (t) => {
  const image = join(folder.path, 'shared.img');
  const serving = await serve(t, `${image},create,size=8M`);
  const lun = `${serving.socket}:0`;
  const guest = await bootGuest(FrontEnd.connect(serving.socket));
  t.teardown(() => guest.leave());
  const attached = await lunport('attach', lun, '--as', 'fuse', '--json');
  t.is(attached.code, 0, attached.text);
  const { name, path, device, pid } = JSON.parse(attached.text) as Record<string, string | number>;
  t.deepEqual([name, pid], ['shared', serving.pid]);
  const paths = [path, ...(device === null ? [] : [device])] as string[];
  const writes = () => Promise.all(paths.map(writeTo));
  const guestWrites = async () => (await guest.driver.execute(WRITE)).status;

  t.deepEqual(
    await writes(),
    paths.map(() => undefined),
  );
  t.is(await guestWrites(), Status.GOOD);
  await reserveOut(guest, 'register', { actionKey: 1 });
  t.is(await reserveOut(guest, 'reserve', { key: 1, type: TYPES.WE }), Status.GOOD);
  // A file knows EPERM; a loop device has one error for everything.
  t.deepEqual(await writes(), ['EPERM', 'EIO'].slice(0, paths.length));
  t.is(await guestWrites(), Status.GOOD);
  t.is(await reserveOut(guest, 'release', { key: 1, type: TYPES.WE }), Status.GOOD);
  t.deepEqual(
    await writes(),
    paths.map(() => undefined),
  );

  // `lunport sg` under the attachment's name is the host itself.
  const persist = (...args: string[]) => lunport('sg', 'persist', lun, '--initiator', 'shared', ...args);
  t.deepEqual(await persist('--register', '--param-sark', '2'), DONE);
  t.deepEqual(await persist('--reserve', '--param-rk', '2', '--prout-type', '1'), DONE);
  t.deepEqual(
    await writes(),
    paths.map(() => undefined),
  );
  t.is(await guestWrites(), Status.RESERVATION_CONFLICT);
  t.deepEqual(await persist('--clear', '--param-rk', '2'), DONE);
  t.is(await guestWrites(), Status.CHECK_CONDITION, 'news of the lost registration');
  t.is(await guestWrites(), Status.GOOD);

  const resized = await lunport('resize', serving.socket, '0', '16M');
  t.is(resized.code, 0, resized.text);
  while ((await stat(path as string)).size !== 16 << 20);
  t.is(await guestWrites(), Status.CHECK_CONDITION, 'news of the size');
  const refused = await lunport('remove', serving.socket, '0');
  t.regex(refused.text, /attached to this host, as "shared"/);
  t.deepEqual(await lunport('detach', 'shared'), DONE);
  t.false(existsSync(path as string));
  t.is((await lunport('attach')).text, 'Nothing is attached.\n');
  t.is(await guestWrites(), Status.GOOD);
});

test.serial('a server that ends, or is killed, leaves errors and nothing that hangs', async (t) => {
  const image = join(folder.path, 'ends.img');
  for (const end of ['stop', 'kill'] as const) {
    const serving = await serve(t, `${image},create,size=8M`);
    const attached = await lunport('attach', `${serving.socket}:0`, '--as', 'fuse', '--no-loop');
    t.is(attached.code, 0, attached.text);
    const path = attached.text.trim();
    t.is(await writeTo(path), undefined);
    const file = await open(path, 'r+');
    await serving[end]();
    t.truthy(
      await file.write(Buffer.alloc(BLOCK)).then(
        () => undefined,
        (error: Error) => error,
      ),
    );
    await file.close().catch(() => {});
    t.regex((await lunport('attach')).text, /its process is dead/);
    t.deepEqual(await lunport('detach', 'ends'), DONE);
    t.is((await lunport('attach')).text, 'Nothing is attached.\n', end);
  }
});

const refusals: [title: string, args: readonly string[], said: RegExp][] = [
  ['a LUN that is not there', ['attach', 'SOCKET:7'], /has no LUN 7/],
  ['a foreground', ['attach', 'SOCKET:0', '--foreground'], /for a disk that nobody serves/],
  ['a name of blanks', ['attach', 'SOCKET:0', '--name', ' '], /--name: expected/],
  ['an attachment that there is not', ['detach', 'nobody'], /is not attached/],
];
test.serial('what cannot be attached is said', async (t) => {
  const serving = await serve(t, 'ram:1M');
  for (const [title, args, said] of refusals) {
    const { code, text } = await lunport(...args.map((word) => word.replace('SOCKET', serving.socket)));
    t.not(code, 0, title);
    t.regex(text, said, title);
  }
  await serving.stop();
});
