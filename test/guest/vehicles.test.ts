/** The vehicles themselves, on QEMU's own virtio-scsi: when this fails, no test in a guest means anything. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { copyDiskImage } from '../../qemu/disk-image.ts';
import { Guest } from '../../qemu/guest.ts';
import { runGuest } from '../../qemu/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-vehicles-'));
test.after.always(() => rmSync(folder, { recursive: true }));

function emptyDisk(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, '');
  truncateSync(path, 64 << 20);
  return path;
}

for (const firmware of ['seabios', 'ovmf'] as const) {
  test.serial(`the disk vehicle boots by ${firmware}`, async (t) => {
    const file = await copyDiskImage(join(folder, `${firmware}.img`));
    const { exitCode, output } = await runGuest({
      vehicle: 'disk',
      firmware,
      disks: [{ file, bootIndex: 0 }],
      job: 'findmnt -n -o FSTYPE /; grep PRETTY /etc/os-release; exit 3',
    });
    t.is(exitCode, 3);
    t.regex(output, /^ext4\n.*Debian GNU\/Linux 12/);
  });
}

test.serial('the initrd vehicle runs stock tools against a disk, step by step', async (t) => {
  const guest = await Guest.start({
    vehicle: 'initrd',
    initrd: { tools: ['sg3-utils', 'fio', 'iscsi-test-cu', 'mkfs.ext4'] },
    disks: [{ file: emptyDisk('steps.img'), device: { serial: 'steps' } }],
  });
  try {
    const steps: [script: string, output: RegExp][] = [
      ['sg_inq /dev/sg0', /Unit serial number: steps/],
      ['fio --name=v --filename=/dev/sda --size=4M --rw=randwrite --verify=crc32c', /err= 0/],
      ['iscsi-test-cu --dataloss --test=SCSI.TestUnitReady /dev/sg0', /Failed/],
      ['mkfs.ext4 -q /dev/sda && mount /dev/sda /mnt && df /mnt && umount /mnt', /\/mnt/],
    ];
    for (const [script, expected] of steps) {
      const { status, output } = await guest.exec(script);
      t.is(status, 0, output);
      t.regex(output, expected);
    }
    const bootId = 'cat /proc/sys/kernel/random/boot_id';
    const before = await guest.exec(bootId);
    await guest.reboot();
    const after = await guest.exec(bootId);
    t.not(before.output, after.output);
    await guest.put('/tmp/a file', 'from the host\n');
    t.is((await guest.exec('cat "/tmp/a file"; exit 5')).output, 'from the host\n');
    t.deepEqual(
      await guest.qmp('query-status').then((answer) => (answer as { status: string }).status),
      'running',
    );
    t.is((await guest.powerOff()).code, 0);
  } finally {
    await guest.close();
  }
});

test.serial('a panic, a kill and a job without end are told apart', async (t) => {
  const panicking = await Guest.start({ vehicle: 'initrd' });
  await t.throwsAsync(panicking.exec('echo c >/proc/sysrq-trigger'), {
    code: 'QEMU_ENDED',
    message: /panicked: sysrq/,
  });
  await panicking.close();
  const guest = await Guest.start({ vehicle: 'initrd' });
  const endless = guest.exec('sleep 1000');
  await Promise.all([t.throwsAsync(endless, { code: 'STOPPED' }), guest.kill()]);
  await guest.close();
  const late = await Guest.start({ vehicle: 'initrd' });
  await t.throwsAsync(late.exec('sleep 1000', { timeoutMs: 200 }), { code: 'JOB_TIMEOUT' });
  await late.close();
});

test.serial('a guest goes on where it was after a migration', async (t) => {
  const source = await Guest.start({ vehicle: 'initrd' });
  const uri = `unix:${join(folder, 'migration.sock')}`;
  const destination = await Guest.start({ vehicle: 'initrd', incoming: uri });
  try {
    await source.exec('echo kept >/tmp/memory');
    await source.qmp('migrate', { uri });
    await destination.qmpEvent('RESUME');
    await source.close();
    t.is((await destination.exec('cat /tmp/memory')).output, 'kept\n');
  } finally {
    await source.close();
    await destination.close();
  }
});
