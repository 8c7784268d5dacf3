/** A stock QEMU and a stock Linux whose disks are served by two shards of one lunport. */
import { join } from 'node:path';
import test from 'ava';
import { copyDiskImage } from '../../qemu/disk-image.ts';
import { runGuest } from '../../qemu/run.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { startServe } from '../support/serve-process.ts';

test('a guest boots from a disk of one shard and verifies the disk of another', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = (name: string) => join(folder.path, name);
  const boot = await copyDiskImage(path('boot.img'));
  const sockets = [path('boot.sock'), path('data.sock')];
  const serve = await startServe([boot, '+', `${path('data.img')},create,size=64M,serial=DATA`], {
    socket: sockets[0],
    serveArguments: ['--socket', sockets[1], '--shards', '2'],
  });
  t.teardown(() => serve.kill());
  t.deepEqual(
    serve.targets.map(({ shard }) => shard),
    [0, 1],
  );
  const { exitCode, output } = await runGuest({
    vehicle: 'disk',
    vhostUserScsi: [{ socket: sockets[0], bootIndex: 0 }, { socket: sockets[1] }],
    job: `
      root=$(findmnt -n -o SOURCE /)
      data=$(ls /dev/sd? | grep -v "\${root%?}")
      [ "$(blockdev --getsize64 $data)" = 67108864 ] || exit 4
      mkfs.ext4 -q $data && mount $data /mnt || exit 5
      dd if=/dev/urandom of=/mnt/file bs=1M count=16 2>/dev/null || exit 6
      before=$(md5sum </mnt/file)
      umount /mnt && echo 3 >/proc/sys/vm/drop_caches && mount $data /mnt || exit 7
      [ "$(md5sum </mnt/file)" = "$before" ] || exit 8
      umount /mnt && e2fsck -fn $data || exit 9
      echo verified; exit 3`,
  });
  t.is(exitCode, 3, output);
  t.regex(output, /verified/);
  t.is(await serve.stop(), 0, serve.errors());
});
