/** A stock kernel makes a file system on each kind of disk, loads it with verified writes, and finds it clean. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Guest } from '../../qemu/guest.ts';
import { startServe } from '../support/serve-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-file-systems-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const file = (name: string) => `${join(folder, name)},create,size=512M`;

const disks: [title: string, disk: string][] = [
  ['a file in the page cache', file('buffered.img')],
  ['a file with O_DIRECT', `${file('direct.img')},cache=none`],
  ['a file whose I/O waits in threads', file('threads.img')],
  ['memory', 'ram:512M'],
  ['a file with blocks of 4096 bytes', `${file('4k.img')},block-size=4096`],
];

const LOAD = [
  'fio --name=load --directory=/mnt --size=200M --bs=64k --rw=randwrite --ioengine=libaio --iodepth=16',
  '--direct=1 --verify=crc32c --verify_fatal=1 --fallocate=none --end_fsync=1',
].join(' ');

const SCRIPT = `
set -e
mkfs.ext4 -q /dev/sda
mount /dev/sda /mnt
${LOAD} | grep -E 'err=|WRITE|READ'
rm /mnt/load*
fstrim -v /mnt
umount /mnt
e2fsck -f -n /dev/sda
`;

for (const [title, disk] of disks) {
  test.serial(`mkfs, 200 MiB of verified writes and fsck on ${title}`, async (t) => {
    const serveArguments = title.includes('threads') ? ['--io', 'threads'] : [];
    const serve = await startServe([disk], { serveArguments });
    t.teardown(() => serve.stop());
    const guest = await Guest.start({
      vehicle: 'initrd',
      initrd: { tools: ['fio', 'mkfs.ext4', 'e2fsck'] },
      vhostUserScsi: [{ socket: serve.socket }],
    });
    try {
      const { status, output } = await guest.exec(SCRIPT, { timeoutMs: 180_000 });
      t.is(status, 0, output);
      t.regex(output, /err= 0/);
      t.regex(output, /bytes\) trimmed|bytes trimmed/);
    } finally {
      await guest.close();
    }
    t.is(await serve.stop(), 0);
  });
}
