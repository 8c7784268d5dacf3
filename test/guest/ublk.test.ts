/** lunport attach over ublk, in a guest with a newer kernel: file systems, and a server killed under verified load. */
import test, { type ExecutionContext } from 'ava';
import { Guest } from '../../qemu/guest.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { LUNPORT_COMMAND, makePackageImage } from '../support/package-image.ts';

async function startGuest(t: ExecutionContext): Promise<(script: string) => Promise<string>> {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const guest = await Guest.start({
    vehicle: 'initrd',
    memoryMiB: 1500,
    cpu: 'max,-cx16',
    accelerator: 'tcg',
    initrd: {
      kernel: 'backported',
      tools: ['fio', 'mkfs.ext4', 'e2fsck', 'mkfs.xfs', 'xfs_repair', 'mkfs.btrfs', 'btrfs'],
      modules: ['ublk_drv', 'xfs', 'btrfs'],
    },
    disks: [{ file: await makePackageImage(folder.path), device: { serial: 'package' } }],
  });
  t.teardown(() => guest.close());
  const run = async (script: string) => {
    const { status, output } = await guest.exec(`${LUNPORT_COMMAND}\n${script}`, { timeoutMs: 120_000 });
    if (status !== 0) t.fail(output);
    return output;
  };
  await run('mkdir -p /opt && mount -o ro /dev/sda /opt');
  return run;
}

const FIO = [
  'fio --name=load --directory=/mnt --size=32M --bs=64k --rw=randwrite --ioengine=libaio --iodepth=16',
  '--direct=1 --verify=crc32c --verify_fatal=1 --fallocate=none --end_fsync=1',
].join(' ');

test('ublk: file systems, and a killed server that nobody notices', async (t) => {
  const run = await startGuest(t);
  t.is(await run('lunport attach /tmp/a.img,create,size=512M'), '/dev/ublkb0\n');
  const checks = [
    ['mkfs.ext4 -q', 'e2fsck -f -n'],
    ['mkfs.xfs -q -f', 'xfs_repair -n'],
    ['mkfs.btrfs -q -f', 'btrfs check'],
  ];
  for (const [make, check] of checks) {
    const output = await run(
      `set -e; ${make} /dev/ublkb0; mount /dev/ublkb0 /mnt; ${FIO} | grep err=; rm /mnt/load*; sync; fstrim -v /mnt; umount /mnt; ${check} /dev/ublkb0`,
    );
    t.regex(output, /err= 0/, make);
    t.regex(output, /trimmed/, make);
  }
  // The keeper starts another server, and the load goes on without an error.
  const killed = await run(
    [
      'pid() { lunport attach --json | sed "s/.*pid.:\\([0-9]*\\).*/\\1/"; }',
      'mkfs.ext4 -q -F /dev/ublkb0; mount /dev/ublkb0 /mnt; first=$(pid)',
      `(${FIO} --loops=4 | grep err=) & sleep 2; kill -9 $first; wait`,
      'second=$(pid); test "$first" != "$second" && echo another server',
      'umount /mnt; e2fsck -f -n /dev/ublkb0 >/dev/null 2>&1 && echo clean; dmesg | grep -c "I/O error.*ublkb0"',
      'true',
    ].join('\n'),
  );
  t.regex(killed, /err= 0[\s\S]*another server\nclean\n0\n/);
  t.is(await run('lunport detach a; test ! -e /dev/ublkb0 && lunport attach'), 'Nothing is attached.\n');
});
