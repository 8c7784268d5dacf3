/** A stock QEMU and a stock Linux with a virtio block device of ours. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { backportedQemu } from '../../qemu/backported-qemu.ts';
import { copyDiskImage } from '../../qemu/disk-image.ts';
import { Guest } from '../../qemu/guest.ts';
import { packageRoot } from '../../qemu/package-root.ts';
import { runGuest } from '../../qemu/run.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { startServe } from '../support/serve-process.ts';

const PROGRAM = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
const BLK = ['--blk'];
const folder = temporaryFolder();
test.after.always(() => folder.remove());

const verified = (size: string): string =>
  `fio --name=check --filename=/dev/vda --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
  --bsrange=512-128k --size=${size} --verify=crc32c --verify_fatal=1`;

for (const firmware of ['seabios', 'ovmf'] as const) {
  test.serial(`a Debian disk boots as a block device by ${firmware}`, async (t) => {
    const serve = await startServe([await copyDiskImage(join(folder.path, `${firmware}.img`))], {
      serveArguments: BLK,
    });
    t.teardown(() => serve.stop());
    const { exitCode, output } = await runGuest({
      vehicle: 'disk',
      firmware,
      vhostUserScsi: [{ kind: 'blk', socket: serve.socket, bootIndex: 0 }],
      job: 'findmnt -n -o SOURCE,FSTYPE /; exit 3',
    });
    t.is(exitCode, 3, output);
    t.regex(output, /^\/dev\/vda.*ext4/);
  });
}

test.serial('a guest verifies, trims, switches the cache, and sees serial number and growth', async (t) => {
  const disk = `${join(folder.path, 'disk.img')},create,size=64M,serial=BLOCK-1`;
  const serve = await startServe([disk], { serveArguments: BLK });
  t.teardown(() => serve.stop());
  const guest = await Guest.start({
    vehicle: 'initrd',
    initrd: { tools: ['fio', 'e2fsprogs', 'util-linux'], modules: ['virtio_blk', 'ext4'] },
    vhostUserScsi: [{ kind: 'blk', socket: serve.socket, queues: 2 }],
  });
  t.teardown(() => guest.close());
  const run = async (...lines: string[]): Promise<string> => {
    const { status, output } = await guest.exec(lines.join('\n'));
    t.is(status, 0, output);
    return output;
  };
  t.is(await run('cat /sys/block/vda/serial'), 'BLOCK-1');
  await run(verified('16m'));
  const trimmed = await run(
    'mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt || exit 1',
    'dd if=/dev/urandom of=/mnt/file bs=1M count=8 2>/dev/null && sync && rm /mnt/file || exit 1',
    'fstrim -v /mnt && umount /mnt && e2fsck -fn /dev/vda',
  );
  t.regex(trimmed, /bytes trimmed/);
  const cache = await run(
    'for mode in "write through" "write back"; do',
    '  echo "$mode" >/sys/block/vda/cache_type && cat /sys/block/vda/cache_type || exit 1',
    'done; blkdiscard /dev/vda',
  );
  t.is(cache, 'write through\nwrite back\n');
  const resized = spawnSync(process.execPath, [PROGRAM, 'resize', serve.socket, '0', '128M'], {
    encoding: 'utf8',
  });
  t.is(resized.status, 0, resized.stderr);
  await run(
    'tries=0; until [ $(cat /sys/block/vda/size) = 262144 ]; do',
    '  tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; sleep 0.1',
    'done',
  );
});

test.serial('kill -9 under load is a pause: no error, and every byte is right', async (t) => {
  const disk = `${join(folder.path, 'killed.img')},create,size=64M`;
  const socket = join(folder.path, 'killed.sock');
  let serve = await startServe([disk], { socket, serveArguments: BLK });
  const guest = await Guest.start({
    vehicle: 'initrd',
    qemu: await backportedQemu(),
    initrd: { tools: ['fio'], modules: ['virtio_blk'] },
    vhostUserScsi: [{ kind: 'blk', socket, chardev: { 'reconnect-ms': 1000 } }],
  });
  t.teardown(() => guest.close());
  const load = guest.exec(`${verified('32m')} --rate=,6m; echo "fio $?"; dmesg | grep -c "I/O error"`);
  for (let round = 0; round < 3; round++) {
    await delay(1200);
    await serve.kill();
    serve = await startServe([disk], { socket, serveArguments: BLK });
  }
  t.teardown(() => serve.stop());
  const { output } = await load;
  t.regex(output, /fio 0\n0\n$/, output);
});
