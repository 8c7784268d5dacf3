/**
 * What a stock QEMU and a stock Linux make of our rings and messages: each way of talking that the mock front-end
 * has been through already, once more with those who decide.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { Guest, type GuestOptions } from '../../qemu/guest.ts';
import type { VhostUserScsi } from '../../qemu/machine.ts';
import { newestQemu } from '../../qemu/newest-qemu.ts';
import { packageRoot } from '../../qemu/package-root.ts';
import { startServe } from '../support/serve-process.ts';
import { Served } from '../support/vhost-user/served.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-vhost-user-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const PROGRAM = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');

/** Writes, reads back and compares, from several processes and in all sizes. */
const VERIFIED = `fio --name=check --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
  --bsrange=512-128k --size=900k --numjobs=1 --loops=4 --verify=crc32c --verify_fatal=1`;

/** Bits of virtio that lsblk and friends do not show; sysfs has one character per bit, lowest first. */
const featureBit = (bit: number) => `cut -c${bit + 1} /sys/bus/virtio/drivers/virtio_scsi/virtio*/features`;
const RING_PACKED = 34;
const ACCESS_PLATFORM = 33;

function machine(served: Pick<Served, 'socketPath'>, scsi: Partial<VhostUserScsi> = {}): GuestOptions {
  return {
    vehicle: 'initrd',
    initrd: { tools: ['fio'] },
    vhostUserScsi: [{ socket: served.socketPath, ...scsi }],
  };
}

interface Row {
  readonly title: string;
  readonly scsi?: Partial<VhostUserScsi>;
  readonly options?: Partial<GuestOptions>;
  /** Printed by the guest when things are as the title says. */
  readonly proof?: { readonly script: string; readonly output: string };
}

const rows: readonly Row[] = [
  {
    title: 'packed rings',
    scsi: { device: { packed: true } },
    proof: { script: featureBit(RING_PACKED), output: '1\n' },
  },
  { title: 'rings of 1024 descriptors', scsi: { device: { virtqueue_size: 1024 } } },
  {
    title: 'rings of 16 descriptors, which are shorter than requests',
    scsi: { device: { virtqueue_size: 16 } },
  },
  { title: 'four queues for two processors', scsi: { queues: 4 } },
  { title: 'the legacy interface', scsi: { device: { 'disable-modern': true } } },
  { title: 'the modern interface only', scsi: { interface: 'non-transitional' } },
  {
    title: 'the longer request header of protection information, on a disk without',
    scsi: { device: { t10_pi: true } },
  },
  {
    title: 'no event index and no indirect descriptors',
    scsi: { device: { event_idx: false, indirect_desc: false } },
  },
  {
    title: 'an IOMMU',
    scsi: { interface: 'non-transitional', device: { iommu_platform: true, ats: true } },
    options: {
      // The IOMMU has to be there before the devices behind it.
      qemu: ['qemu-system-x86_64', '-device', 'intel-iommu,intremap=off,device-iotlb=on'],
      // Without "strict", Linux invalidates everything at once from time to time, and QEMU 7.2 does not hand that on.
      kernelArguments: ['intel_iommu=on', 'iommu.strict=1'],
    },
    proof: { script: featureBit(ACCESS_PLATFORM), output: '1\n' },
  },
];

for (const { title, scsi, options, proof } of rows) {
  test.serial(`a guest reads what it wrote through ${title}`, async (t) => {
    const served = await Served.start();
    const guest = await Guest.start({ ...machine(served, scsi), ...options });
    try {
      if (proof !== undefined) t.is((await guest.exec(proof.script)).output, proof.output);
      const { status, output } = await guest.exec(VERIFIED);
      t.is(status, 0, output);
      t.is(served.target.state.frontEnd?.broken, undefined);
      await guest.powerOff();
    } finally {
      await guest.close();
      await served.close();
    }
  });
}

test.serial(
  'protection information reaches the guest: what it wrote is checked, and a wrong guard is found',
  async (t) => {
    const image = join(folder, 'protected.img');
    const serve = await startServe([`${image},create,size=16M,pi=1`]);
    const guest = await Guest.start({
      vehicle: 'initrd',
      initrd: { tools: ['fio'] },
      vhostUserScsi: [{ socket: serve.socket, device: { t10_pi: true } }],
    });
    try {
      const { output } = await guest.exec('dmesg | grep DI[FX]; cat /sys/block/sda/integrity/format');
      t.regex(
        output,
        /Enabling DIX T10-DIF-TYPE1-CRC.*\n.*Enabling DIF Type 1 protection\nT10-DIF-TYPE1-CRC/,
      );
      const verified = await guest.exec(VERIFIED);
      t.is(verified.status, 0, verified.output);
      const read = 'dd if=/dev/sda of=/dev/null bs=1M count=1 iflag=direct';
      t.is((await guest.exec(read)).status, 0);
      const fd = openSync(`${image}.pi`, 'r+');
      writeSync(fd, Uint8Array.of(0x55, 0x55), 0, 2, 0);
      closeSync(fd);
      const failed = await guest.exec(`${read}; echo; dmesg`);
      t.regex(failed.output, /Logical block guard check failed/);
      await guest.powerOff();
    } finally {
      await guest.close();
      await serve.stop();
    }
  },
);

test.serial(
  'a guest sees a disk that is added, one that grows, and one that is removed, by command',
  async (t) => {
    const serve = await startServe(['ram:1M']);
    const guest = await Guest.start({ vehicle: 'initrd', vhostUserScsi: [{ socket: serve.socket }] });
    const waitFor = (condition: string) =>
      guest.exec(`for i in $(seq 50); do if ${condition}; then exit 0; fi; sleep 0.1; done; exit 1`);
    const lunport = (...args: string[]) => {
      const { status, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: 'utf8' });
      t.is(status, 0, stderr);
    };
    try {
      lunport('add', serve.socket, `${join(folder, 'added.img')},create,size=1M`);
      t.is((await waitFor('[ -b /dev/sdb ]')).status, 0, 'added');
      lunport('resize', serve.socket, '1', '2M');
      t.is((await waitFor('[ $(cat /sys/block/sdb/size) = 4096 ]')).status, 0, 'grown');
      const written = await guest.exec('dd if=/dev/sdb of=/dev/null bs=1M count=2 iflag=direct 2>&1');
      t.is(written.status, 0, written.output);
      lunport('remove', serve.socket, '1');
      t.is((await waitFor('[ ! -e /sys/class/scsi_device/*:1 ]')).status, 0, 'removed');
      await guest.powerOff();
    } finally {
      await guest.close();
      await serve.stop();
    }
  },
);

test.serial(
  'memory is plugged into a guest that reads and writes, is used, and is taken out again',
  async (t) => {
    const served = await Served.start();
    const guest = await Guest.start({ ...machine(served), extraArgs: ['-m', 'slots=2,maxmem=2G'] });
    const regions = () => served.target.state.frontEnd!.memoryRegions;
    const run = async (script: string) => {
      const { status, output } = await guest.exec(script);
      t.is(status, 0, output);
      return output;
    };
    // Movable memory can be taken out again, and is what programs get first.
    const used = `awk '/zone +Movable/ { m = 1 } m && /pages free/ { f = $3 } m && /managed/ { print $2 - f; exit }' /proc/zoneinfo`;
    try {
      const before = regions();
      await run(`echo online_movable >/sys/devices/system/memory/auto_online_blocks
      (while dd if=/dev/sda of=/dev/null bs=64k iflag=direct; do :; done) >/dev/null 2>&1 &`);
      for (let round = 0; round < 2; round++) {
        const memory = { 'qom-type': 'memory-backend-memfd', id: 'plugged', size: 256 << 20, share: true };
        await guest.qmp('object-add', memory);
        await guest.qmp('device_add', { driver: 'pc-dimm', id: 'dimm', memdev: 'plugged' });
        await run(`for i in $(seq 300); do [ "$(${used})" != "" ] && exit 0; sleep 0.1; done; exit 1`);
        t.is(regions(), before + 1);
        await run(VERIFIED);
        // What ends gives its pages back at once: some look sees one in use.
        await run(`for i in $(seq 300); do [ "$(${used})" -gt 0 ] && exit 0; sleep 0.1; done; exit 1`);
        await Promise.all([guest.qmpEvent('DEVICE_DELETED'), guest.qmp('device_del', { id: 'dimm' })]);
        await guest.qmp('object-del', { id: 'plugged' });
        t.is(regions(), before);
        await run(VERIFIED);
      }
      await guest.powerOff();
    } finally {
      await guest.close();
      await served.close();
    }
  },
);

// The newest QEMU names memory by other addresses (GPA_ADDRESSES), also while it logs.
const MIGRATING = { 'the installed QEMU': async () => undefined, 'the newest QEMU': () => newestQemu() };

for (const [index, [name, command]] of Object.entries(MIGRATING).entries()) {
  test.serial(
    `a guest that writes moves to another QEMU, and its disk to another lunport: ${name}`,
    async (t) => {
      const qemu = await command();
      const image = join(folder, `moved-${index}.img`);
      const source = await startServe([`${image},create,size=16M`]);
      t.teardown(() => source.kill());
      const destination = await startServe([`${image},wait`]);
      t.teardown(() => destination.kill());
      const uri = `unix:${join(folder, `migration-${index}.sock`)}`;
      const from = await Guest.start({ ...machine({ socketPath: source.socket }), qemu });
      t.teardown(() => from.close());
      const to = await Guest.start({ ...machine({ socketPath: destination.socket }), qemu, incoming: uri });
      t.teardown(() => to.close());
      await from.exec(`(${VERIFIED} --time_based --runtime=8; echo $? >/tmp/status) >/tmp/output 2>&1 &`);
      await from.qmp('migrate', { uri });
      await to.qmpEvent('RESUME');
      await to.exec('dd if=/dev/sda of=/tmp/sda bs=1M count=1 iflag=direct >/dev/null 2>&1 &');
      t.is(
        (await to.exec('sleep 1; wc -c </tmp/sda')).output,
        '0\n',
        'the first lunport has the image still',
      );
      await from.close();
      t.is(await source.stop(), 0, source.errors());
      const { output } = await to.exec(
        'while [ ! -e /tmp/status ]; do sleep 0.2; done; cat /tmp/status; dmesg',
      );
      t.regex(output, /^0\n/, (await to.exec('cat /tmp/output')).output);
      t.notRegex(output, /I\/O error/);
      t.regex(destination.errors(), /moved-\d+\.img is free, and served/);
      await to.powerOff();
      t.is(await destination.stop(), 0);
    },
  );
}
