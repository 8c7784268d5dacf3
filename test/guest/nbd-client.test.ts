/** The NBD client of a newer Linux kernel (6.12) in a guest, beside the same LUN over vhost-user. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Guest } from '../../qemu/guest.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { LUNPORT_COMMAND, makePackageImage } from '../support/package-image.ts';
import { type ServeProcess, startServe } from '../support/serve-process.ts';

/** QEMU's user-mode network shows the host's 127.0.0.1 as this. */
const HOST = '10.0.2.2';
const LIBRARY = '/usr/lib/x86_64-linux-gnu/libnl-genl-3.so.200';
const SET_UP = 'ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/** With nbd-client, on the network, and with the disk of `serve` at /dev/sda as well. */
let guest: Guest;
let serve: ServeProcess;
let port: number;

test.before(async () => {
  port = await freePort();
  serve = await startServe(['ram:512M'], { serveArguments: ['--nbd', `127.0.0.1:${port}`] });
  guest = await Guest.start({
    vehicle: 'initrd',
    memoryMiB: 768,
    cpu: 'max,-cx16',
    accelerator: 'tcg',
    initrd: {
      kernel: 'backported',
      tools: ['sg3-utils', 'fio', 'mkfs.ext4', 'e2fsck', 'mkfs.xfs', 'xfs_repair', 'mkfs.btrfs', 'btrfs'],
      modules: ['virtio_net', 'nbd', 'xfs', 'btrfs'],
      files: { '/usr/sbin/nbd-client': '/usr/sbin/nbd-client', [LIBRARY]: LIBRARY },
    },
    vhostUserScsi: [{ socket: serve.socket }],
    extraArgs: ['-netdev', 'user,id=net,net=10.0.2.0/24', '-device', 'virtio-net-pci,netdev=net,romfile='],
  });
  await guest.exec(SET_UP);
});

const leave = async () => {
  await guest?.close();
  await serve?.stop();
};
test.after.always(leave);

async function run(t: ExecutionContext, guest: Guest, script: string): Promise<string> {
  const { status, output } = await guest.exec(script, { timeoutMs: 300_000 });
  if (status !== 0) t.fail(output);
  return output;
}

const connect = (port: number, options: string) => `nbd-client ${HOST} ${port} /dev/nbd0 -N ram ${options}`;

const FIO = [
  'fio --name=load --directory=/mnt --size=32M --bs=64k --rw=randwrite --ioengine=libaio --iodepth=16',
  '--direct=1 --verify=crc32c --verify_fatal=1 --fallocate=none --end_fsync=1',
].join(' ');

const WRITE = 'dd if=/dev/zero of=$device bs=4096 count=1 oflag=direct 2>/dev/null; echo written: $?';
const READ = 'dd if=$device of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null; echo read: $?';
const OTHER = 'lunport sg persist /tmp/b.sock:0 --initiator other';
const SHARED = [
  'lunport serve /tmp/b.img,create,size=8M --socket /tmp/b.sock --ephemeral >/tmp/serve.log 2>&1 </dev/null &',
  "until_ 'grep -q Ready /tmp/serve.log'",
  'lunport attach /tmp/b.sock:0 --as nbd | head -1; device=/dev/nbd0',
  WRITE,
  `${OTHER} --register --param-sark 1`,
  `${OTHER} --reserve --param-rk 1 --prout-type 1`,
  WRITE,
  READ,
  `${OTHER} --clear --param-rk 1`,
  WRITE,
  'lunport detach b; test ! -e /sys/block/nbd0/pid; echo detached: $?',
].join('\n');
const SHARED_SAYS = [
  '/dev/nbd0',
  'written: 0',
  'written: 1',
  'read: 0',
  'written: 0',
  'detached: 0',
  '',
].join('\n');

const fileSystems: [name: string, make: string, check: string][] = [
  ['ext4', 'mkfs.ext4 -q', 'e2fsck -f -n'],
  ['xfs', 'mkfs.xfs -q -f', 'xfs_repair -n'],
  ['btrfs', 'mkfs.btrfs -q -f', 'btrfs check'],
];

test.serial(
  'file systems over four connections: verified writes, trim, check; and a reservation of the same guest',
  async (t) => {
    await run(t, guest, `${connect(port, '-connections 4')} && cat /sys/block/nbd0/size && lsmod | grep nbd`);
    for (const [name, make, check] of fileSystems) {
      const output = await run(
        t,
        guest,
        `set -e; ${make} /dev/nbd0; mount /dev/nbd0 /mnt; ${FIO} | grep err=; rm /mnt/load*; sync; fstrim -v /mnt; umount /mnt; ${check} /dev/nbd0`,
      );
      t.regex(output, /err= 0/, name);
      t.regex(output, /trimmed/, name);
    }
    // The same LUN through vhost-user: who reserves it decides who writes.
    const write = 'dd if=/dev/zero of=/dev/nbd0 bs=4096 count=1 oflag=direct 2>&1';
    await run(t, guest, `${write} && sg_persist --out --register --param-sark=1 /dev/sda`);
    await run(t, guest, 'sg_persist --out --reserve --param-rk=1 --prout-type=1 /dev/sda');
    const refused = await guest.exec(write);
    t.not(refused.status, 0);
    await run(
      t,
      guest,
      `dd if=/dev/nbd0 of=/dev/null bs=4096 count=1 iflag=direct && dd if=/dev/zero of=/dev/sda bs=4096 count=1 oflag=direct`,
    );
    await run(t, guest, `sg_persist --out --clear --param-rk=1 /dev/sda && ${write}`);
    await run(t, guest, 'nbd-client -d /dev/nbd0');
  },
);

test.serial('kill -9 of the server under dd ends dd with an error, within the time-out', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const doomedPort = await freePort();
  const disk = `${join(folder.path, 'ram.img')},create,size=256M`;
  const doomed = await startServe([disk], { serveArguments: ['--nbd', `127.0.0.1:${doomedPort}`] });
  t.teardown(() => doomed.kill());
  await run(t, guest, connect(doomedPort, '-timeout 5 -connections 2'));
  const dd = guest.exec('dd if=/dev/zero of=/dev/nbd0 bs=64k oflag=direct 2>&1', { timeoutMs: 60_000 });
  await delay(500);
  await doomed.kill();
  const started = Date.now();
  t.not((await dd).status, 0);
  t.true(Date.now() - started < 20_000, `${Date.now() - started} ms`);
  // The next guest is to have the machine for itself.
  await leave();
});

test.serial(
  'lunport attach takes nbd where the kernel has it; detach and kill -9 leave nothing behind',
  async (t) => {
    const folder = temporaryFolder();
    t.teardown(() => folder.remove());
    const host = await Guest.start({
      vehicle: 'initrd',
      memoryMiB: 1500,
      initrd: {
        tools: ['fio', 'mkfs.ext4', 'e2fsck'],
        modules: ['nbd'],
        files: { '/usr/sbin/nbd-client': '/usr/sbin/nbd-client', [LIBRARY]: LIBRARY },
      },
      disks: [{ file: await makePackageImage(folder.path), device: { serial: 'package' } }],
    });
    t.teardown(() => host.close());
    const lunport = (script: string) => host.exec(`${LUNPORT_COMMAND}\n${script}`, { timeoutMs: 300_000 });
    await run(t, host, 'ip link set lo up; mkdir -p /opt && mount -o ro /dev/sda /opt');
    t.regex((await lunport('lunport attach /tmp/a.img,create,size=200M')).output, /^\/dev\/nbd0\n/);
    const load = `mkfs.ext4 -q /dev/nbd0 && mount /dev/nbd0 /mnt && ${FIO} | grep err= && rm /mnt/load* && fstrim -v /mnt`;
    t.regex(await run(t, host, load), /err= 0[\s\S]*trimmed/);
    t.regex((await lunport('lunport detach a')).output, /is mounted on \/mnt/);
    await run(t, host, 'umount /mnt && e2fsck -f -n /dev/nbd0');
    t.deepEqual(await lunport('lunport detach /dev/nbd0 && test ! -e /sys/block/nbd0/pid'), {
      status: 0,
      output: '',
    });
    // A LUN of a running lunport: another initiator's reservation decides who writes.
    const shared = await lunport(SHARED);
    t.is(shared.output, SHARED_SAYS, shared.output);
    const death = await lunport(
      [
        'pid=$(lunport attach /tmp/a.img --json | sed "s/.*pid.:\\([0-9]*\\).*/\\1/")',
        '(dd if=/dev/zero of=/dev/nbd0 bs=64k oflag=direct; echo dd ended with $?) 2>&1 &',
        'sleep 1; kill -9 $pid; wait; lunport attach; lunport detach a; lunport attach',
      ].join('\n'),
    );
    t.regex(death.output, /dd ended with 1\n[\s\S]*its process is dead\nNothing is attached/);
  },
);
