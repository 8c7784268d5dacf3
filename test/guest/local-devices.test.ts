/** Disks attached to this very host: file systems on them, sudden death under load, and speed beside QEMU's export. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { spawnOwned } from '../../qemu/owned-child.ts';
import { packageRoot } from '../../qemu/package-root.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';

const folder = temporaryFolder();
const path = (name: string) => join(folder.path, name);
mkdirSync(path('run'));
mkdirSync(path('mnt'));
const env = { ...process.env, XDG_RUNTIME_DIR: path('run'), XDG_STATE_HOME: path('state') };
const main = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');

interface Ended {
  readonly code: number;
  readonly text: string;
}

function run(program: string, ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program, args, { env, timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), text: stdout + stderr });
    });
  });
}

const shell = (script: string) => run('sh', '-c', `set -e\n${script}`);
const lunport = (...args: string[]) => run(process.execPath, main, ...args);

interface Attached {
  readonly path: string;
  readonly device: string;
  readonly pid: number;
}

async function attach(disk: string, ...options: string[]): Promise<Attached> {
  const { code, text } = await lunport('attach', disk, '--as', 'fuse', '--json', ...options);
  if (code !== 0) throw new Error(text);
  return JSON.parse(text) as Attached;
}

test.after.always(async () => {
  for (const { name } of JSON.parse((await lunport('attach', '--json')).text) as { name: string }[]) {
    await lunport('detach', name);
  }
  folder.remove();
});

const mount = path('mnt');
const LOAD = [
  `fio --name=load --directory=${mount} --size=150M --bs=64k --rw=randwrite --ioengine=libaio --iodepth=16`,
  '--direct=1 --verify=crc32c --verify_fatal=1 --fallocate=none --end_fsync=1',
].join(' ');

const fileSystems: [name: string, make: string, check: string][] = [
  ['ext4', 'mkfs.ext4 -q', 'e2fsck -f -n'],
  ['xfs', 'mkfs.xfs -q', 'xfs_repair -n'],
  ['btrfs', 'mkfs.btrfs -q', 'btrfs check'],
];
for (const [name, make, check] of fileSystems) {
  test.serial(`${name} is made, loaded with verified writes, trimmed and found clean`, async (t) => {
    const { device } = await attach(`${path(`${name}.img`)},create,size=512M`);
    const { code, text } = await shell(`
      ${make} ${device}
      mount ${device} ${mount}
      trap 'umount ${mount}' EXIT
      ${LOAD}
      rm ${mount}/load*
      sync
      fstrim -v ${mount}
      umount ${mount}
      trap - EXIT
      ${check} ${device}`);
    t.is(code, 0, text);
    t.regex(text, /err= 0/);
    t.regex(text, /trimmed/);
    t.deepEqual(await lunport('detach', name), { code: 0, text: '' });
    t.false(existsSync(`/sys/block/${device.slice(5)}/loop/backing_file`));
  });
}

test.serial('a mounted disk is not detached, and 4096-byte blocks stay what they are', async (t) => {
  const { device } = await attach(`${path('busy.img')},create,size=64M,block-size=4096`);
  const mounted = await shell(
    `mkfs.ext4 -q ${device}; mount ${device} ${mount}; cat /sys/block/${device.slice(5)}/queue/logical_block_size`,
  );
  t.deepEqual(mounted, { code: 0, text: '4096\n' });
  const refused = await lunport('detach', 'busy');
  t.is(refused.code, 1);
  t.regex(refused.text, /is mounted on [\s\S]*hint: Unmount/);
  t.is((await shell(`echo alive >${mount}/file; sync; umount ${mount}`)).code, 0);
  t.is((await lunport('detach', device)).code, 0);
});

test.serial('a read-only disk is a read-only device', async (t) => {
  writeFileSync(path('ro.img'), Buffer.alloc(1 << 20, 'r'));
  const { device, path: file } = await attach(`${path('ro.img')},ro`);
  t.is((await shell(`cmp ${device} ${path('ro.img')}`)).code, 0);
  for (const target of [device, file]) {
    t.not((await shell(`dd if=/dev/zero of=${target} bs=4096 count=1 conv=notrunc oflag=direct`)).code, 0);
  }
  t.is((await lunport('detach', file)).code, 0);
});

test.serial(
  'kill -9 under dd ends dd with an error, at once, and leaves nothing that cannot be cleaned up',
  async (t) => {
    const disk = `${path('killed.img')},create,size=1G`;
    const { pid, device, path: file } = await attach(disk);
    for (const target of [file, device]) {
      const dd = spawn('dd', ['if=/dev/zero', `of=${target}`, 'bs=64k', 'oflag=direct', 'conv=notrunc'], {
        stdio: 'ignore',
      });
      const ended = new Promise<number | null>((resolve) => dd.once('exit', resolve));
      if (target === file) {
        // It is the device's turn that must bear the death.
        dd.kill();
        await ended;
        continue;
      }
      await delay(100);
      process.kill(pid, 'SIGKILL');
      const before = Date.now();
      t.is(await ended, 1);
      t.true(Date.now() - before < 5000, `${Date.now() - before} ms`);
    }
    for (const command of [`cat ${file}`, `dd if=${device} of=/dev/null bs=4096 count=1 iflag=direct`]) {
      t.not((await shell(`timeout 5 ${command}`)).code, 0, command);
    }
    t.regex((await lunport('attach')).text, /its process is dead/);
    // A namesake takes the place of the dead one.
    const again = await attach(disk);
    t.is((await shell(`dd if=${again.device} of=/dev/null bs=1M count=1`)).code, 0);
    t.is((await lunport('detach', 'killed')).code, 0);
    t.is((await lunport('attach')).text, 'Nothing is attached.\n');
  },
);

test.serial('SIGTERM detaches, but not under a mounted file system', async (t) => {
  const { pid, device } = await attach(`${path('term.img')},create,size=64M`);
  t.is((await shell(`mkfs.ext4 -q ${device}; mount ${device} ${mount}`)).code, 0);
  process.kill(pid, 'SIGTERM');
  await delay(500);
  t.is((await shell(`echo alive >${mount}/file; umount ${mount}`)).code, 0);
  process.kill(pid, 'SIGTERM');
  for (let i = 0; i < 100 && existsSync(`/proc/${pid}`); i++) await delay(50);
  t.is((await lunport('attach')).text, 'Nothing is attached.\n');
});

const WORKLOADS: [rw: string, bs: string, depth: number][] = [
  ['randread', '4k', 1],
  ['randread', '4k', 16],
  ['randwrite', '4k', 16],
  ['read', '1M', 4],
  ['write', '1M', 4],
];
/** Far below what it reaches, so that a busy machine fails nobody; the log has the numbers. */
const MINIMUM_RATIO = 0.2;

async function iops(file: string, rw: string, bs: string, depth: number): Promise<number> {
  const options = `--rw=${rw} --bs=${bs} --iodepth=${depth} --size=256M --runtime=2 --time_based`;
  const program = `fio --name=b --filename=${file} ${options} --ioengine=libaio --direct=1 --output-format=json`;
  const { text } = await shell(`sync; ${program} 2>/dev/null`);
  const [job] = (JSON.parse(text) as { jobs: { read: { iops: number }; write: { iops: number } }[] }).jobs;
  return Math.round(job.read.iops + job.write.iops);
}

test.serial("the file is about as fast as qemu-storage-daemon's FUSE export of the same image", async (t) => {
  const image = path('speed.img');
  t.is((await shell(`dd if=/dev/urandom of=${image} bs=1M count=256`)).code, 0);
  const exported = path('exported');
  writeFileSync(exported, '');
  const daemon = spawnOwned(
    [
      'qemu-storage-daemon',
      ...['--blockdev', `driver=file,node-name=f,filename=${image},aio=io_uring,locking=off`],
      ...['--export', `type=fuse,id=e,node-name=f,mountpoint=${exported},writable=on`],
    ],
    { stdio: 'ignore' },
  );
  t.teardown(() => daemon.kill());
  for (let i = 0; i < 100 && !readFileSync('/proc/mounts', 'utf8').includes(exported); i++) await delay(50);
  const { path: file } = await attach(`${image},share`, '--no-loop');
  for (const [rw, bs, depth] of WORKLOADS) {
    const theirs = await iops(exported, rw, bs, depth);
    const ours = await iops(file, rw, bs, depth);
    const ratio = ours / theirs;
    t.log(`${rw} ${bs} depth ${depth}: ${ours} IOPS, qemu-storage-daemon ${theirs}: ${ratio.toFixed(2)}`);
    t.true(ratio > MINIMUM_RATIO);
  }
  daemon.kill();
  await new Promise((resolve) => daemon.once('exit', resolve));
  t.is((await lunport('detach', 'speed')).code, 0);
});
