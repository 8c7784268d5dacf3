/**
 * Disks that fail under a guest, all at one controller: one hangs, one has a bad block, one fills up, one is cut short
 * and loses its name. A healthy one beside them is written and verified all the time, and may not notice.
 */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Guest } from '../../qemu/guest.ts';
import { packageRoot } from '../../qemu/package-root.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { FaultyFile } from '../support/faulty-file.ts';
import { addressOf, login, startIscsiGuest } from '../support/iscsi-guest.ts';
import { type ServeProcess, startServe } from '../support/serve-process.ts';

const PROGRAM = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
const MIB = 1 << 20;
const HEALTHY = 0;
const HANGING = 1;
const BAD = 2;
const FULL = 3;
const CUT = 4;

/** In the middle of what is read, of 4096 bytes. */
const BAD_LBA = 125;
const BAD_KIB = BAD_LBA * 4;

/** sg3-utils' exit statuses. */
const MEDIUM_ERROR = 3;
const DATA_PROTECT = 7;

/** $sd0, $sg0 and so on, by LUN; through the first host, which is virtio's. */
const NAMES = `for unit in /sys/class/scsi_device/0:*; do
  lun=\${unit##*:}
  eval "sd$lun=/dev/$(ls $unit/device/block) sg$lun=/dev/$(ls $unit/device/scsi_generic)"
done
`;

const LOAD = `(
  while [ ! -e /tmp/stop ]; do
    fio --name=healthy --filename=$sd${HEALTHY} --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bs=16k \\
      --size=2M --randrepeat=0 --verify=crc32c --verify_fatal=1 >/tmp/fio 2>&1 || { cat /tmp/fio; exit 1; }
    echo >>/tmp/passes
  done
  touch /tmp/done
) >/tmp/load 2>&1 &`;
/** Ends when the healthy disk was written and verified twice more. */
const TWO_PASSES = `passes() { wc -l </tmp/passes; }
before=$(passes)
until [ $(passes) -ge $((before + 2)) ] || [ -s /tmp/load ]; do sleep 0.1; done
cat /tmp/load`;

interface Scene {
  readonly t: ExecutionContext;
  readonly guest: Guest;
  readonly serve: ServeProcess;
  /** Runs a script with the names of the disks; its output. */
  readonly run: (script: string, status?: number) => Promise<string>;
}

const write = (lun: number, letter: string, skip: number, kib: number) =>
  `tr '\\0' ${letter} </dev/zero | dd of=$sd${lun} bs=1k seek=${skip} count=${kib} iflag=fullblock oflag=direct 2>&1`;
const read = (lun: number, skip: number, kib: number) =>
  `dd if=$sd${lun} bs=1k skip=${skip} count=${kib} iflag=direct 2>/dev/null | tr -s '\\0a-z'`;

async function hangs({ t, run, serve }: Scene, file: FaultyFile): Promise<void> {
  await run(`${write(HANGING, 'a', 0, 64)} >/dev/null`);
  file.hang();
  await run(`(${write(HANGING, 'b', 0, 64)}; echo "ended $?") >/tmp/hanging 2>&1 &`);
  t.is(await run(TWO_PASSES), '', 'the others go on');
  t.is(await run('cat /tmp/hanging'), '');
  // Linux sends nothing at all to the controller while a reset is under way: it fails, and does not last.
  await run(`! sg_reset -d -N $sg${HANGING} >/tmp/reset 2>&1`);
  t.is(await run(TWO_PASSES), '', 'the others go on after a reset that failed');
  const { status, stdout } = spawnSync(process.execPath, [PROGRAM, 'list', serve.socket], {
    encoding: 'utf8',
  });
  t.is(status, 0, 'the control socket answers');
  t.regex(stdout, /LUN 1/);
  file.answer();
  t.regex(await run('until grep ended /tmp/hanging; do sleep 0.1; done'), /ended 0/);
  t.is(await run(read(HANGING, 0, 64)), 'b', 'what was asked for is done when the disk answers again');
  await run(`sg_reset -d $sg${HANGING}`);
  await run(`${write(HANGING, 'c', 0, 64)} >/dev/null`);
  t.is(await run(read(HANGING, 0, 64)), 'c');
}

/** Linux never gives up on virtio-scsi, and asks again after each time-out; on iSCSI it aborts, and tries again. */
async function timesOut({ t, run, serve }: Scene, file: FaultyFile): Promise<void> {
  await run(login(addressOf(serve.iscsi[0])));
  const unit = `unit=$(echo /sys/class/iscsi_session/session1/device/target*/*:${HANGING})
    sd${HANGING}=/dev/$(ls $unit/block)\n`;
  await run(`${unit} echo 2 >$unit/timeout`);
  file.hang();
  await run(`${unit} (${write(HANGING, 'd', 0, 64)}; echo "ended $?") >/tmp/timed 2>&1 &`);
  await run(`${unit} until [ $(cat $unit/iotmo_cnt) != 0x0 ]; do sleep 0.1; done`);
  t.is(await run('cat /tmp/timed'), '');
  file.answer();
  t.regex(await run('until grep ended /tmp/timed; do sleep 0.1; done'), /ended 0/);
  t.is(await run(unit + read(HANGING, 0, 64)), 'd', 'the error handling has brought it back');
  t.is(await run(`${unit} cat $unit/state`), 'running\n');
}

async function hasABadBlock({ t, run }: Scene, file: FaultyFile): Promise<void> {
  await run(`${write(BAD, 'a', 0, 1024)} >/dev/null`);
  file.fail();
  const sense = await run(`sg_raw -v -r 65536 $sg${BAD} 28 00 00 00 00 78 00 00 10 00 2>&1`, MEDIUM_ERROR);
  t.regex(sense, /Unrecovered read error/);
  t.regex(sense, new RegExp(`Info fld=0x${BAD_LBA.toString(16)} \\[${BAD_LBA}\\]`));
  t.is(
    await run(
      `! dd if=$sd${BAD} of=/dev/null bs=64k iflag=direct 2>/dev/null; dmesg | grep -c 'Medium Error'`,
    ),
    '1\n',
  );
  t.regex(await run('dmesg'), new RegExp(`medium error, dev sd., sector ${BAD_KIB * 2} op 0x0:\\(READ\\)`));
  t.is(await run(read(BAD, 0, BAD_KIB)), 'a', 'up to the bad block');
  t.is(await run(read(BAD, BAD_KIB + 4, 64)), 'a', 'behind it');
  await run(`sg_raw -s 4096 -i /dev/zero $sg${BAD} 2a 00 00 00 00 7d 00 00 01 00 2>/dev/null`, MEDIUM_ERROR);
  file.heal();
  t.is(await run(read(BAD, 0, 1024)), 'a', 'all of it, when the block is good again');
}

async function fillsUp({ t, run }: Scene, mount: string): Promise<void> {
  await run(`${write(FULL, 'a', 0, 1024)} >/dev/null`);
  const filler = join(mount, 'filler');
  writeFileSync(filler, Buffer.alloc(2 * MIB));
  const sense = await run(
    `sg_raw -v -s 65536 -i /dev/zero $sg${FULL} 2a 00 00 00 20 00 00 00 80 00 2>&1`,
    DATA_PROTECT,
  );
  t.regex(sense, /Space allocation failed write protect/);
  await run(write(FULL, 'b', 4096, 64), 1);
  t.is(await run(read(FULL, 0, 1024)), 'a', 'nothing is lost');
  await run(`${write(FULL, 'b', 0, 512)} >/dev/null`);
  t.is(await run(read(FULL, 0, 1024)), 'ba', 'what has its space already is written as before');
  rmSync(filler);
  await run(`${write(FULL, 'c', 4096, 512)} >/dev/null`);
  t.is(await run(read(FULL, 4096, 512)), 'c', 'it works again when there is space');
}

async function isCutShort({ t, run, serve }: Scene, path: string): Promise<void> {
  const { size } = statSync(path);
  await run(`${write(CUT, 'a', 0, 1024)} >/dev/null`);
  truncateSync(path, 64 << 10);
  const sense = await run(`sg_raw -v -r 8192 $sg${CUT} 28 00 00 00 00 78 00 00 10 00 2>&1`, MEDIUM_ERROR);
  t.regex(sense, /Info fld=0x80 \[128\]/, 'the first block that is not there');
  t.is(await run(read(CUT, 0, 64)), 'a', 'what is there is served');
  truncateSync(path, size);
  t.is(await run(read(CUT, 0, 1024)), 'a\0', 'what was cut off reads as zeroes');
  await run(`${write(CUT, 'b', 64, 960)} >/dev/null`);
  t.is(await run(read(CUT, 0, 1024)), 'ab');
  rmSync(path);
  await run(`${write(CUT, 'c', 0, 64)} >/dev/null`);
  t.is(await run(read(CUT, 0, 1024)), 'cb', 'a file without a name is a file');
  copyFileSync(openFile(serve.pid, `${path} (deleted)`), path);
  t.is(statSync(path).size, size, 'and can be saved while lunport lives');
}

/** A file that a process has open, as the kernel calls it. */
function openFile(pid: number, name: string): string {
  const descriptors = readdirSync(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`);
  return descriptors.find((path) => readlinkSync(path) === name)!;
}

test.serial('disks fail as disks do, come back, and no other disk of the guest notices', async (t) => {
  t.timeout(600_000);
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const mount = join(folder.path, 'small');
  mkdirSync(mount);
  t.is(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'small', mount]).status, 0);
  t.teardown(() => void spawnSync('umount', ['-l', mount]));
  const hanging = await FaultyFile.start({ size: 8 * MIB });
  t.teardown(() => hanging.close());
  const bad = await FaultyFile.start({ size: 8 * MIB, badByte: BAD_LBA * 4096 + 77 });
  t.teardown(() => bad.close());
  const cut = join(folder.path, 'cut.img');
  const serve = await startServe(
    [
      'ram:8M',
      hanging.path,
      `${bad.path},cache=none,block-size=4096`,
      `${join(mount, 'full.img')},create,size=8M`,
      `${cut},create,size=8M`,
    ],
    { serveArguments: ['--iscsi', '127.0.0.1:0'] },
  );
  t.teardown(() => {
    // What hangs in a system call cannot be killed.
    hanging.answer();
    return serve.kill();
  });
  const guest = await startIscsiGuest({
    initiator: 'iqn.2026-01.example:guest',
    tools: ['fio'],
    vhostUserSocket: serve.socket,
  });
  t.teardown(() => guest.close());
  const run = async (script: string, status = 0): Promise<string> => {
    const result = await guest.exec(NAMES + script);
    t.is(result.status, status, `${script}\n${result.output}`);
    return result.output;
  };
  const scene = { t, guest, serve, run };
  await run(`touch /tmp/passes; ${LOAD}`);
  await hangs(scene, hanging);
  await timesOut(scene, hanging);
  await hasABadBlock(scene, bad);
  await fillsUp(scene, mount);
  await isCutShort(scene, cut);
  t.is(await run(TWO_PASSES), '');
  await run('touch /tmp/stop; until [ -e /tmp/done ] || [ -s /tmp/load ]; do sleep 0.1; done; cat /tmp/load');
  await guest.powerOff();
  t.is(await serve.stop(), 0, serve.errors());
});
