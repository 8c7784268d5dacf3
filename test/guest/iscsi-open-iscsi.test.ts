/** The Linux kernel's own iSCSI initiator (open-iscsi) against lunport. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Guest } from '../../qemu/guest.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { freePort } from '../support/free-port.ts';
import { addressOf, login, logout, startIscsiGuest } from '../support/iscsi-guest.ts';
import { startServe } from '../support/serve-process.ts';

const FIRST = 'iqn.2026-01.example:first';
const SECOND = 'iqn.2026-01.example:second';
const ANY_PORT = ['--iscsi', '127.0.0.1:0'];

/** Writes blocks of all sizes at random, then reads each of them back and compares. */
const fio = (device: string, size: string, ...more: readonly string[]): string =>
  `fio --name=verify --filename=${device} --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite ` +
  `--bsrange=512-128k --size=${size} --verify=crc32c --verify_fatal=1 ${more.join(' ')} ` +
  '--output-format=terse >/tmp/fio || exit 1';

/** Resolves when so many bytes of a sparse file were written. */
async function written(path: string, bytes: number): Promise<void> {
  while (statSync(path).blocks * 512 < bytes) await delay(50);
}

/** Runs a script that must succeed, and resolves with what it printed. */
async function run(t: ExecutionContext, guest: Guest, ...lines: string[]): Promise<string> {
  const { status, output } = await guest.exec(lines.join('\n'));
  if (status !== 0) t.fail(output);
  return output;
}

test.serial(
  'with an ACL, digests and mutual CHAP, what was written is read back, and the logout is clean',
  async (t) => {
    const acl = `${FIRST},lun=0,lun=3:1:ro,chap=guest:twelve-letters:disk:other-letters`;
    const serve = await startServe(['ram:128M', 'ram:8M'], { serveArguments: [...ANY_PORT, '--acl', acl] });
    t.teardown(() => serve.stop());
    const settings = [
      'node.conn[0].iscsi.HeaderDigest = CRC32C',
      'node.conn[0].iscsi.DataDigest = CRC32C',
      'node.session.auth.authmethod = CHAP',
      'node.session.auth.username = guest',
      'node.session.auth.password = twelve-letters',
      'node.session.auth.username_in = disk',
      'node.session.auth.password_in = other-letters',
    ];
    const guest = await startIscsiGuest({ initiator: FIRST, tools: ['fio'], settings });
    t.teardown(() => guest.close());
    const address = addressOf(serve.iscsi[0]);
    t.regex(
      await run(t, guest, `iscsiadm -m discovery -t st -p ${address.portal}`),
      new RegExp(address.target),
    );
    const session = await run(t, guest, login(address), 'iscsiadm -m session -P 3');
    t.regex(session, /HeaderDigest: CRC32C\s+DataDigest: CRC32C/);
    await run(t, guest, fio('/dev/ISCSI0', '16m'));
    // The target's second disk, which this initiator sees as LUN 3 and may not write to.
    const mapped = await run(
      t,
      guest,
      'until disk=$(ls /sys/class/iscsi_session/session1/device/target*/*:3/block 2>/dev/null); do sleep 0.1; done',
      'until [ -b /dev/$disk ]; do sleep 0.1; done',
      'echo "read-only: $(cat /sys/block/$disk/ro), sectors: $(cat /sys/block/$disk/size)"',
      'dd if=/dev/zero of=/dev/$disk bs=4096 count=1 oflag=direct 2>/dev/null && exit 1',
      'dd if=/dev/$disk of=/dev/null bs=4096 iflag=direct 2>/dev/null',
    );
    t.regex(mapped, /read-only: 1, sectors: 16384/);
    t.notRegex(await run(t, guest, logout(address), 'iscsiadm -m session || true'), /tcp:/);
  },
);

test.serial('after kill -9 and a restart under load, every byte is right', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const serveArguments = ['--iscsi', `127.0.0.1:${await freePort()}`];
  const path = join(folder.path, 'disk');
  const disk = `${path},create,size=64M`;
  const first = await startServe([disk], { serveArguments });
  t.teardown(() => first.kill());
  const guest = await startIscsiGuest({ initiator: FIRST, tools: ['fio'] });
  t.teardown(() => guest.close());
  await run(t, guest, login(addressOf(first.iscsi[0])));
  // Slow enough that a fast machine, too, is far from the end when lunport dies.
  const load = run(t, guest, fio('/dev/ISCSI0', '32m', '--rate=,6m'), 'cat /tmp/fio');
  await written(path, 4 << 20);
  await first.kill();
  await delay(1000);
  const second = await startServe([disk], { serveArguments });
  t.teardown(() => second.stop());
  t.regex(await load, /verify/);
  // The load cannot end before the session is back; iscsid may write it down a moment later.
  await run(
    t,
    guest,
    'tries=0; until iscsiadm -m session -P 1 | grep -q "iSCSI Session State: LOGGED_IN"; do',
    '  tries=$((tries + 1)); [ $tries -lt 300 ] || exit 1; sleep 0.1',
    'done',
  );
});

test.serial(
  'two portals are two paths: when one goes into standby under load, the other carries on',
  async (t) => {
    const serve = await startServe(['ram:128M'], { serveArguments: [...ANY_PORT, ...ANY_PORT] });
    t.teardown(() => serve.stop());
    const modules = ['dm_multipath', 'dm_service_time'];
    const guest = await startIscsiGuest({ initiator: FIRST, tools: ['fio', 'dmsetup'], modules });
    t.teardown(() => guest.close());
    await run(
      t,
      guest,
      login(...serve.iscsi.map(addressOf)),
      // The serial number, without which multipathd would not see one disk here.
      '[ "$(sg_inq -p 0x83 /dev/ISCSI0 | grep 0x6)" = "$(sg_inq -p 0x83 /dev/ISCSI1 | grep 0x6)" ] || exit 1',
      'path() { echo "service-time 0 1 1 $(cat /sys/block/$(readlink /dev/ISCSI$1)/dev) 1"; }',
      'size=$(cat /sys/block/$(readlink /dev/ISCSI0)/size)',
      'echo "0 $size multipath 1 queue_if_no_path 0 2 1 $(path 0) $(path 1)" | dmsetup create paths || exit 1',
      'dmsetup mknodes',
    );
    await run(
      t,
      guest,
      `(${fio('/dev/mapper/paths', '24m', '--rate=,4m')}) & load=$!`,
      'sleep 2; sg_stpg --tp=1 --state=s /dev/ISCSI1 || exit 1',
      'wait $load',
    );
    const paths = await run(t, guest, 'dmsetup status paths');
    t.regex(paths, / F .* A /, paths);
  },
);

test.serial(
  'persistent reservations hold between two initiators, and against a virtual machine',
  async (t) => {
    const serve = await startServe(['ram:64M'], { serveArguments: ANY_PORT });
    t.teardown(() => serve.stop());
    const guest = await startIscsiGuest({ initiator: FIRST, vhostUserSocket: serve.socket });
    t.teardown(() => guest.close());
    const address = addressOf(serve.iscsi[0]);
    const write = (device: string) => `dd if=/dev/zero of=${device} bs=4096 count=1 oflag=direct 2>&1`;
    const virtual = '/dev/$(ls /sys/bus/virtio/drivers/virtio_scsi/virtio*/host*/target*/*:0/block)';
    await run(t, guest, login(address, { ...address, initiator: SECOND }), `ln -s ${virtual} /dev/VIRTIO`);
    await run(
      t,
      guest,
      'for device in ISCSI0 ISCSI1 VIRTIO; do sg_turs -n 3 /dev/$device >/dev/null 2>&1; done',
      'sg_persist --out --register --param-sark=a1 /dev/ISCSI0 || exit 1',
      'sg_persist --out --register --param-sark=a2 /dev/ISCSI1 || exit 1',
      'sg_persist --out --register --param-sark=a3 /dev/VIRTIO || exit 1',
      // Write exclusive, registrants only.
      'sg_persist --out --reserve --param-rk=a1 --prout-type=5 /dev/ISCSI0 || exit 1',
      `${write('/dev/ISCSI0')} && ${write('/dev/ISCSI1')} && ${write('/dev/VIRTIO')} || exit 1`,
    );
    const status = await run(t, guest, 'sg_persist --in --read-full-status /dev/VIRTIO');
    for (const initiator of [FIRST, SECOND])
      t.regex(status, new RegExp(`iSCSI world wide unique port id: ${initiator},i,0x`));
    t.regex(status, /SAS address/);
    // The virtual machine takes the disk from both, for itself alone: exclusive access.
    const preempted = await run(
      t,
      guest,
      'sg_persist --out --preempt --param-rk=a3 --param-sark=a1 --prout-type=3 /dev/VIRTIO || exit 1',
      'sg_persist --out --register-ignore --param-sark=0 /dev/ISCSI1; sg_turs -n 3 /dev/ISCSI1 >/dev/null 2>&1',
      `${write('/dev/VIRTIO')} || exit 1`,
      `${write('/dev/ISCSI0')} && exit 1`,
      `${write('/dev/ISCSI1')} && exit 1`,
      'sg_persist --in --read-reservation /dev/VIRTIO',
    );
    t.regex(preempted, /Key=0xa3[\s\S]*Exclusive Access/);
    // And back: who was preempted clears nothing, who holds the reservation gives it up.
    await run(
      t,
      guest,
      'sg_persist --out --release --param-rk=a3 --prout-type=3 /dev/VIRTIO || exit 1',
      'for device in ISCSI0 ISCSI1; do sg_turs -n 3 /dev/$device >/dev/null 2>&1; done',
      `${write('/dev/ISCSI0')} && ${write('/dev/ISCSI1')} || exit 1`,
      logout(address),
    );
  },
);
