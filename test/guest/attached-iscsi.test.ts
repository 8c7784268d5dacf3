/** lunport attach --as iscsi in a guest: a real SCSI disk by the kernel's own initiator over loopback. */
import test, { type ExecutionContext } from 'ava';
import { Guest } from '../../qemu/guest.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { makePackageImage, runLunport } from '../support/package-image.ts';

const SET_UP = `
ip link set lo up; mkdir -p /opt /run/lock /etc/iscsi /var/lib/iscsi && mount -o ro /dev/sda /opt
echo InitiatorName=iqn.2026-01.example:host >/etc/iscsi/initiatorname.iscsi
iscsid
`;
const FUNCTIONS = `
record() { sed "s/.*\\"$2\\":\\"\\?\\([^,\\"}]*\\).*/\\1/" /run/lunport/attached/$1/record.json; }
write() { dd if=/dev/zero of=$device bs=4096 count=1 oflag=direct 2>/dev/null; echo write $?; }
sessions() { iscsiadm -m session 2>/dev/null | wc -l; }
`;

let guest: Guest;
const folder = temporaryFolder();

const run = (t: ExecutionContext, script: string) => runLunport(t, guest, `${FUNCTIONS}${script}`);

test.before(async (t) => {
  guest = await Guest.start({
    vehicle: 'initrd',
    bootTimeoutMs: 400_000,
    memoryMiB: 1500,
    initrd: { tools: ['open-iscsi', 'sg3-utils', 'mkfs.ext4', 'e2fsck'], modules: ['iscsi_tcp'] },
    disks: [{ file: await makePackageImage(folder.path), device: { serial: 'package' } }],
  });
  await run(t, SET_UP);
});

test.after.always(async () => {
  await guest?.close();
  folder.remove();
});

test.serial('a host that lacks something is told what, and nothing stays behind', async (t) => {
  const output = await run(
    t,
    `mv /usr/sbin/iscsiadm /tmp; lunport attach ram:1M --as iscsi; mv /tmp/iscsiadm /usr/sbin
    rmmod iscsi_tcp; lunport attach ram:1M --as iscsi; insmod $(grep -o '.*/iscsi_tcp.ko.*' /modules | sed s,^,/usr/lib/modules/,)
    lunport attach`,
  );
  t.regex(
    output,
    /iscsiadm is not installed[\s\S]*open-iscsi[\s\S]*no iSCSI initiator[\s\S]*Nothing is attached/,
  );
});

test.serial('a disk is /dev/sdX, with a file system, sg and reservations of the host', async (t) => {
  const output = await run(
    t,
    `set -e; mv /usr/sbin/iscsiadm /usr/sbin/iscsiadm.real
    printf '#!/bin/sh\necho "$@" >>/tmp/arguments; exec /usr/sbin/iscsiadm.real "$@"\n' >/usr/sbin/iscsiadm; chmod +x /usr/sbin/iscsiadm
    lunport attach /tmp/a.img,create,size=64M --as iscsi >/dev/null; mv /usr/sbin/iscsiadm.real /usr/sbin/iscsiadm; device=$(record a device)
    grep -c username /tmp/arguments; grep -c "$(sed -n 's/^node.session.auth.password = //p' $(find /etc/iscsi/nodes -type f))" /tmp/arguments || :
    sg_inq $device | grep -o 'lunport'; sg_readcap -16 $device | grep -o 'Device size: [0-9]*'
    mkfs.ext4 -q $device; mount $device /mnt; echo alive >/mnt/file
    lunport detach a 2>&1 | grep -o 'mounted on /mnt'; umount /mnt; e2fsck -f -n $device >/dev/null 2>&1; echo clean
    sg_persist --out --register --param-sark=7 $device >/dev/null; sg_persist --out --reserve --param-rk=7 --prout-type=1 $device >/dev/null
    sg_persist --in --read-full-status $device 2>/dev/null | grep -o 'iqn.2026-01.example:host'; write
    lunport detach $device; test ! -b $device; echo sessions $(sessions); lunport attach`,
  );
  t.is(
    output,
    `1\n0\nlunport\nDevice size: ${64 << 20}\nmounted on /mnt\nclean\niqn.2026-01.example:host\nwrite 0\nsessions 0\nNothing is attached.\n`,
  );
});
test.serial(
  'a LUN of a running lunport: reservations decide who writes, and a new size is seen',
  async (t) => {
    const output = await run(
      t,
      `lunport serve /tmp/s.img,create,size=64M ram:1M --socket /tmp/s.sock --json >/tmp/s.out 2>&1 </dev/null &
    until_ 'grep -qs ready /tmp/s.out'; lunport attach /tmp/s.sock:0 --as iscsi >/dev/null; device=$(record s device)
    persist() { lunport sg persist /tmp/s.sock:0 --initiator other --param-rk 1 "$@"; }
    write; persist --register --param-sark 1 --param-rk 0; persist --reserve --prout-type 1; write
    persist --release --prout-type 1; write
    lunport resize /tmp/s.sock 0 128M >/dev/null; until_ '[ $(blockdev --getsize64 $device) = 134217728 ]' && echo grown
    lunport detach s; echo sessions $(sessions); kill $(sed 's/.*"pid":\\([0-9]*\\).*/\\1/' /tmp/s.out | head -1); wait`,
    );
    t.is(output, 'write 0\nwrite 1\nwrite 0\ngrown\nsessions 0\n');
  },
);

test.serial(
  'kill -9 of the server under dd ends dd with an error within the time-outs, and detach clears up',
  async (t) => {
    const output = await run(
      t,
      `lunport attach /tmp/k.img,create,size=1G --as iscsi >/dev/null; device=$(record k device); rm -f /tmp/ended
    (dd if=/dev/zero of=$device bs=64k oflag=direct 2>/dev/null; echo $? >/tmp/ended) &
    sleep 1; test ! -e /tmp/ended && kill -9 $(record k pid); until_ '[ -e /tmp/ended ]' && echo dd ended with $(cat /tmp/ended)
    lunport detach k; test ! -b $device && echo gone; echo sessions $(sessions); lunport attach`,
    );
    t.is(output, 'dd ended with 1\ngone\nsessions 0\nNothing is attached.\n');
  },
);
