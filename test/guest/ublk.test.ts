/** lunport attach over ublk, in a guest with a newer kernel: file systems, abilities, killed servers, and ends within bounds. */
import test, { type ExecutionContext } from 'ava';
import type { Guest } from '../../qemu/guest.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { ATTACHMENT_FUNCTIONS } from '../support/attachment-functions.ts';
import { runLunport } from '../support/package-image.ts';
import { startUblkGuest } from '../support/ublk-guest.ts';

const folder = temporaryFolder();
let guest: Guest;

const FUNCTIONS = `${ATTACHMENT_FUNCTIONS}
make() { truncate -s 1G /tmp/$1.img; lunport attach /tmp/$1.img >/dev/null; d=$(device $1); }
`;

const run = (t: ExecutionContext, script: string) => runLunport(t, guest, `${FUNCTIONS}${script}`);

test.before(async (t) => {
  guest = await startUblkGuest(folder.path, {
    kernel: 'backported',
    tools: ['fio', 'mkfs.ext4', 'e2fsck', 'mkfs.xfs', 'xfs_repair', 'mkfs.btrfs', 'btrfs', 'blkdiscard'],
    modules: ['ublk_drv', 'xfs', 'btrfs'],
  });
  t.pass();
});

test.after.always(async () => {
  await guest?.close();
  folder.remove();
});

const FIO = [
  'fio --name=load --directory=/mnt --size=32M --bs=64k --rw=randwrite --ioengine=libaio --iodepth=16',
  '--direct=1 --verify=crc32c --verify_fatal=1 --fallocate=none --end_fsync=1',
].join(' ');

test.serial('file systems, and a killed server that nobody notices', async (t) => {
  t.is(await run(t, 'lunport attach /tmp/a.img,create,size=512M'), '/dev/ublkb0\n');
  const checks = [
    ['mkfs.ext4 -q', 'e2fsck -f -n'],
    ['mkfs.xfs -q -f', 'xfs_repair -n'],
    ['mkfs.btrfs -q -f', 'btrfs check'],
  ];
  for (const [make, check] of checks) {
    const output = await run(
      t,
      `set -e; ${make} /dev/ublkb0; mount /dev/ublkb0 /mnt; ${FIO} | grep err=; rm /mnt/load*; sync; fstrim -v /mnt; umount /mnt; ${check} /dev/ublkb0`,
    );
    t.regex(output, /err= 0/, make);
    t.regex(output, /trimmed/, make);
  }
  // The keeper starts another server, and the load goes on without an error.
  const killed = await run(
    t,
    [
      'mkfs.ext4 -q -F /dev/ublkb0; mount /dev/ublkb0 /mnt; first=$(pid a)',
      `(${FIO} --loops=4 | grep err=) & sleep 2; kill -9 $first; wait`,
      'test "$first" != "$(pid a)" && echo another server',
      'umount /mnt; e2fsck -f -n /dev/ublkb0 >/dev/null 2>&1 && echo clean; dmesg | grep -c "I/O error.*ublkb0"',
      'true',
    ].join('\n'),
  );
  t.regex(killed, /err= 0[\s\S]*another server\nclean\n0\n/);
  t.is(await run(t, 'lunport detach a; test ! -e /dev/ublkb0 && lunport attach'), 'Nothing is attached.\n');
});

test.serial('a kernel that cannot do without copies copies', async (t) => {
  const output = await run(
    t,
    `disk=/dev/$(ls /sys/class/scsi_device/*:1:0/device/block); dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
    lunport attach $disk,cache=none --name direct; dd if=/tmp/data of=/dev/ublkb0 bs=256k oflag=direct 2>/dev/null
    for d in /dev/ublkb0 $disk; do dd if=$d bs=64k count=64 iflag=direct 2>/dev/null | cmp - /tmp/data && echo same; done
    lunport detach direct`,
  );
  t.is(output, '/dev/ublkb0\nsame\nsame\n');
});

test.serial(
  'blocks of 4096 bytes, zeroes and discard pass through; a read-only disk stays as it is',
  async (t) => {
    const output = await run(
      t,
      `set -e
    lunport attach /tmp/b.img,create,size=64M,block-size=4096
    cd /sys/block/ublkb0/queue; echo blocks $(cat logical_block_size)
    test $(cat discard_max_bytes) -gt 0; test $(cat write_zeroes_max_bytes) -gt 0
    dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null; dd if=/tmp/data of=/dev/ublkb0 bs=1M oflag=direct 2>/dev/null
    before=$(stat -c %b /tmp/b.img)
    /usr/sbin/blkdiscard --zeroout --offset 1M --length 64k /dev/ublkb0
    dd if=/dev/zero of=/tmp/data bs=64k count=1 seek=16 conv=notrunc 2>/dev/null
    cmp -n 16777216 /tmp/data /dev/ublkb0; echo zeroes
    /usr/sbin/blkdiscard --offset 8M --length 8M /dev/ublkb0; sync
    echo given back $(((before - $(stat -c %b /tmp/b.img)) / 2048)) MiB
    cmp -n 8388608 /tmp/data /dev/ublkb0
    cd /; lunport detach b; lunport attach /tmp/b.img,ro,block-size=4096
    echo read-only $(blockdev --getro /dev/ublkb0)
    ! dd if=/dev/zero of=/dev/ublkb0 bs=4096 count=1 oflag=direct 2>/dev/null
    cmp /tmp/b.img /dev/ublkb0; echo same
    lunport detach b`,
    );
    t.regex(output, /blocks 4096\nzeroes\ngiven back 8 MiB\n\/dev\/ublkb0\nread-only 1\nsame\n$/);
  },
);

test.serial(
  'whatever dies, those who wait for the device go on or get an error, within bounds',
  async (t) => {
    // Half a minute passes for the first device while the others have their turn.
    t.regex(
      await run(
        t,
        `truncate -s 1G /tmp/f.img
      (lunport attach /tmp/f.img --foreground --json >/tmp/f.out 2>&1 </dev/null) &
      until_ 'grep -q ublkb /tmp/f.out'; d=$(device f); echo $d >/tmp/f.device; running $d && kill -9 $(pid f); echo waits`,
      ),
      /waits/,
    );
    // Keeper and server at once: the next attach goes on with what waits. Stopped, it cannot start another keeper.
    t.regex(
      await run(
        t,
        `make h; first=$(keeper h); kill -9 $first
      until_ '[ -n "$(keeper h)" ] && [ "$(keeper h)" != $first ]' && echo another keeper
      running $d 500; kill -STOP $(pid h); kill -9 $(keeper h) $(pid h)
      [ $(lunport attach /tmp/h.img) = /dev/$d ] && ended`,
      ),
      /^another keeper\ndd ended with 0\n$/,
    );
    t.regex(
      await run(
        t,
        'd=$(device h); running $d; kill -STOP $(pid h); kill -9 $(keeper h) $(pid h); lunport detach h && ended && gone h',
      ),
      /^dd ended with 1\ngone\n$/,
    );
    // The keeper's server finds no disk.
    t.regex(
      await run(t, 'make m; running $d; mv /tmp/m.img /tmp/moved.img; kill -9 $(pid m); ended; gone m'),
      /^dd ended with 1\ngone\n$/,
    );
    // Its servers have died five times within the last minute: the sixth time it is not served again.
    t.regex(
      await run(
        t,
        `make c; running $d; now=$(($(date +%s) + 60))000; server=$(pid c)
      sed -i "s/}$/,\\"recoveries\\":[$now,$now,$now,$now,$now]}/" /run/lunport/attached/c/record.json
      kill -9 $server; ended; gone c`,
      ),
      /^dd ended with 1\ngone\n$/,
    );
    t.regex(
      await run(t, 'd=$(cat /tmp/f.device); ended; gone f; lunport attach'),
      /^dd ended with 1\ngone\nNothing is attached\.\n$/,
    );
  },
);
