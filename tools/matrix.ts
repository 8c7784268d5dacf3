/**
 * `make matrix`: boots a guest in every cell of matrix-cells.ts; it writes, reads back and powers off, and the image
 * must hold what it wrote. ARGS='--only PATTERN' for some of them, '--list' to see them. Exit 1 if one fails.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { backportedQemu } from '../qemu/backported-qemu.ts';
import { copyDiskImage } from '../qemu/disk-image.ts';
import { LunportChild } from '../qemu/lunport-child.ts';
import { newestQemu } from '../qemu/newest-qemu.ts';
import { runGuest } from '../qemu/run.ts';
import { runProgram } from '../qemu/run-program.ts';
import { type TemporaryFolder, temporaryFolder } from '../qemu/temporary-folder.ts';
import { type Cell, cells, type Qemu } from './matrix-cells.ts';

const WRITTEN_MIB = 16;
const CELL_TIMEOUT_MS = 120_000;
const INSTALLED = 'qemu-system-x86_64';

/** Prints the checksum of what was written; the last LUN, or the last block device, is the one to write. */
const job = (kind = 'scsi') => `
set -e
${
  kind === 'scsi'
    ? 'for each in /sys/bus/scsi/devices/*:0:0:*/block; do disk=/dev/$(ls $each); done'
    : 'for each in $(ls /sys/block | grep ^vd); do disk=/dev/$each; done'
}
head -c ${WRITTEN_MIB * 1048576} /dev/urandom >/tmp/data
dd if=/tmp/data of=$disk bs=256k oflag=direct 2>/dev/null
sync
dd if=$disk bs=256k count=${WRITTEN_MIB * 4} iflag=direct 2>/dev/null >/tmp/read
cmp /tmp/data /tmp/read
if dmesg | grep -E 'I/O error|timing out|abort'; then exit 1; fi
sha256sum </tmp/data | cut -c 1-64
`;

async function version(command: readonly string[]): Promise<string> {
  const [program, ...first] = command;
  const output = await runProgram(program, [...first, '--version']);
  return /version (\d+\.\d+\.\d+)/.exec(output)?.[1] ?? output.split('\n')[0];
}

/** The installed QEMU, and the newer ones that can be fetched. */
async function qemus(): Promise<Qemu[]> {
  const found: Qemu[] = [{ name: await version([INSTALLED]), command: undefined }];
  for (const fetched of [() => backportedQemu(), () => newestQemu()]) {
    try {
      const command = await fetched();
      found.push({ name: await version(command), command });
    } catch (error) {
      console.log(`a QEMU is missing: ${(error as Error).message}`);
    }
  }
  return found;
}

/** @throws Error with what went wrong, in one cell */
async function run(cell: Cell, folder: TemporaryFolder): Promise<void> {
  const socket = join(folder.path, 'serve.sock');
  const image = join(folder.path, 'data.img');
  const disks = [`${image},create,size=64M${cell.disk}`];
  if (cell.machine.vehicle === 'disk') {
    disks.unshift(await copyDiskImage(join(folder.path, 'boot.img')));
  }
  const { kind } = cell.device;
  // A SCSI host has both disks; a block device is one.
  const sockets = kind === 'blk' && disks.length > 1 ? [join(folder.path, 'boot.sock'), socket] : [socket];
  const lunport = await LunportChild.serve([
    ...[...disks, '--ephemeral', ...cell.serve],
    ...sockets.flatMap((path) => ['--socket', path]),
  ]);
  try {
    const { exitCode, output } = await runGuest({
      ...cell.machine,
      qemu: cell.qemu.command,
      initrd: kind === 'blk' ? { modules: ['virtio_blk'] } : undefined,
      vhostUserScsi: sockets.map((path, i) => ({ socket: path, bootIndex: i, ...cell.device })),
      job: job(kind),
      timeoutMs: CELL_TIMEOUT_MS,
      progress: () => {},
    });
    if (exitCode !== 0) throw new Error(`the job ended with ${exitCode}: ${output}`);
    await lunport.stop();
    const inImage = await sha256(image);
    if (!output.includes(inImage))
      throw new Error(`the guest wrote ${output.trim()}, the image has ${inImage}`);
  } finally {
    await lunport.kill();
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  const end = WRITTEN_MIB * 1024 * 1024 - 1;
  for await (const chunk of createReadStream(path, { end })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, list: { type: 'boolean', default: false } },
});
const only = new RegExp(values.only);
const chosen = cells(await qemus()).filter(({ title }) => only.test(title));
const passed = new Map<string, number>();
for (const cell of chosen) {
  if (values.list) {
    console.log(cell.title);
    continue;
  }
  const { name } = cell.qemu;
  passed.set(name, passed.get(name) ?? 0);
  const started = performance.now();
  const folder = temporaryFolder();
  try {
    await run(cell, folder);
    passed.set(name, passed.get(name)! + 1);
    console.log(`passed  ${cell.title} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    console.log(`FAILED  ${cell.title}\n${(error as Error).message.replace(/^/gm, '        ')}`);
  } finally {
    folder.remove();
  }
}
for (const [name, count] of passed) {
  const total = chosen.filter(({ qemu }) => qemu.name === name).length;
  console.log(`QEMU ${name}: ${count} of ${total}`);
}
const count = [...passed.values()].reduce((sum, each) => sum + each, 0);
if (!values.list) {
  console.log(`matrix: ${count} of ${chosen.length}`);
  if (count < chosen.length) process.exitCode = 1;
}
