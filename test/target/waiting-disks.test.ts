/** `disk.img,wait`: one process after the other on the same image, as when a guest migrates between them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { BlkType } from '../../src/fabrics/vhost-user/virtio-blk-spec.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { lunport } from '../support/lunport-command.ts';
import { startServe } from '../support/serve-process.ts';
import { BlkGuest } from '../support/vhost-user/blk-guest.ts';
import { FrontEnd } from '../support/vhost-user/front-end.ts';
import { bootGuest } from '../support/vhost-user/served.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());
const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const WRITE = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];

test('requests wait until the other process lets the image go, and then see what it wrote last', async (t) => {
  const image = join(folder.path, 'moved.img');
  const first = await startServe([`${image},create,size=1M`]);
  t.teardown(() => first.kill());
  const second = await startServe([`${image},wait`, 'ram:1M']);
  t.teardown(() => second.kill());
  const before = await bootGuest(FrontEnd.connect(first.socket));
  const after = await bootGuest(FrontEnd.connect(second.socket), { powerOn: true });
  let answers = 0;
  const [waiting, other] = [0, 1].map(async (lun) => {
    const result = await after.driver.execute({ cdb: [0, 0, 0, 0, 0, 0], lun });
    answers++;
    return result;
  });
  const dataOut = Buffer.alloc(512, 'last');
  t.is((await before.driver.execute({ cdb: WRITE, dataOut })).status, Status.GOOD);
  await delay(100);
  t.is(answers, 0);
  before.leave();
  t.is(await first.stop(), 0);
  t.is((await waiting).status, Status.CHECK_CONDITION, 'power on');
  await other;
  const read = await after.driver.execute(READ);
  t.deepEqual([read.status, Buffer.from(read.dataIn)], [Status.GOOD, dataOut]);
  after.leave();
  t.is(await second.stop(), 0);
});

test('an image that nobody uses is not waited for; one that is not there is an error at once', async (t) => {
  const image = join(folder.path, 'free.img');
  const serve = await startServe([`${image},create,size=1M,wait`]);
  t.notRegex(serve.errors(), /waits/);
  t.is(await serve.stop(), 0);
  await t.throwsAsync(startServe([join(folder.path, 'missing.img,wait')]), { message: /ENOENT|create,size/ });
});

test('a process that waits ends when it is asked to, and answers nothing', async (t) => {
  const image = join(folder.path, 'held.img');
  const first = await startServe([`${image},create,size=1M`]);
  t.teardown(() => first.stop());
  const second = await startServe([`${image},wait`]);
  const guest = await bootGuest(FrontEnd.connect(second.socket), { powerOn: true });
  let answered = false;
  const request = guest.driver.execute(READ).then(
    () => (answered = true),
    () => {},
  );
  t.is(await second.stop(), 0);
  guest.leave();
  await Promise.race([request, delay(100)]);
  t.false(answered);
});

test('a virtio block device that is waited for is there when its disk is', async (t) => {
  const image = join(folder.path, 'block.img');
  const first = await startServe([`${image},create,size=1M`]);
  t.teardown(() => first.kill());
  const second = await startServe([`${image},wait`], { serveArguments: ['--blk'] });
  t.teardown(() => second.kill());
  const before = await bootGuest(FrontEnd.connect(first.socket));
  const dataOut = Buffer.alloc(512, 'last');
  t.is((await before.driver.execute({ cdb: WRITE, dataOut })).status, Status.GOOD);
  t.false(existsSync(second.socket));
  before.leave();
  t.is(await first.stop(), 0);
  while (!existsSync(second.socket)) await delay(10);
  const after = await BlkGuest.connect(second.socket);
  t.deepEqual(Buffer.from((await after.execute({ type: BlkType.IN, dataInLength: 512 })).dataIn), dataOut);
  await after.close();
  t.is(await second.stop(), 0);
});

interface Listed {
  readonly luns: readonly { readonly lun: number; readonly kind: string }[];
  readonly absent: readonly { readonly lun: number; readonly reason: string }[];
}

async function placesAt(socket: string): Promise<readonly [disks: string[], absent: number[]]> {
  const [{ luns, absent }] = JSON.parse((await lunport('list', socket, '--json')).stdout).targets as Listed[];
  return [luns.map(({ lun, kind }) => `${lun} ${kind}`), absent.map(({ lun }) => lun)];
}

test('the LUN of a disk that is waited for is kept for it, until it is removed', async (t) => {
  const images = ['kept', 'forgotten'].map((name) => join(folder.path, `${name}.img`));
  const first = await startServe(images.map((image) => `${image},create,size=1M`));
  t.teardown(() => first.kill());
  const second = await startServe([...images.map((image) => `${image},wait`), 'ram:1M']);
  t.teardown(() => second.kill());
  t.deepEqual(await placesAt(second.socket), [['2 ram'], [0, 1]]);
  await t.throwsAsync(lunport('add', second.socket, 'ram:2M', '--lun', '0'), {
    message: /has a LUN 0 already/,
  });
  await lunport('add', second.socket, 'ram:2M');
  await lunport('remove', second.socket, '1');
  t.deepEqual(await placesAt(second.socket), [['2 ram', '3 ram'], [0]]);
  t.is(await first.stop(), 0);
  while (!second.errors().includes('is free, and served')) await delay(10);
  t.deepEqual(await placesAt(second.socket), [['0 file', '2 ram', '3 ram'], []]);
  t.is(await second.stop(), 0);
});
