/**
 * `make bench-guest`: inside one guest, fio on a disk of lunport and on disks that QEMU serves itself through its own
 * virtio-scsi, each on a file of its own, taking turns. In the environment:
 *
 *   BENCH_ROUNDS=N     turns of each disk at each work; medians are shown. Default: 3
 *   BENCH_SECONDS=S    of one turn. Default: 3
 *   BENCH_DIRECT=1     files by O_DIRECT; default: through the page cache
 *   BENCH_JSON=PATH    writes all turns for machines
 *
 * CPU time is what the host spends outside of virtual CPUs: QEMU's other threads, and lunport. Where there is no KVM the
 * guest's driver is interpreted, and takes most of each request's time: then only CPU time tells disks apart.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest } from '../qemu/guest.ts';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { startServe } from '../test/support/serve-process.ts';
import { cpuSeconds, cpuTicks, TICKS_PER_SECOND, threadTicks } from './cpu-time.ts';
import { fill } from './fill.ts';
import { median } from './median.ts';

const { env } = process;
const MEBIBYTE = 1 << 20;
const DISK_BYTES = 256 * MEBIBYTE;
const rounds = Number(env['BENCH_ROUNDS'] ?? 3);
const seconds = Number(env['BENCH_SECONDS'] ?? 3);
const direct = Boolean(env['BENCH_DIRECT']);

const WORKS = [
  { name: '4k randread, depth 1', fio: '--rw=randread --bs=4k --iodepth=1' },
  { name: '4k randwrite, depth 1', fio: '--rw=randwrite --bs=4k --iodepth=1' },
  { name: '4k randread, depth 32', fio: '--rw=randread --bs=4k --iodepth=32' },
  { name: '4k randwrite, depth 32', fio: '--rw=randwrite --bs=4k --iodepth=32' },
  { name: '128k read, depth 8', fio: '--rw=read --bs=128k --iodepth=8' },
] as const;

/** Serial numbers by which the guest finds them. */
const LUNPORT = 'LUNPORT';
const OTHERS = [
  { serial: 'QEMU-THREADS', name: 'QEMU, threads', aio: 'threads' },
  { serial: 'QEMU-URING', name: 'QEMU, io_uring', aio: 'io_uring' },
] as const;
const DISKS = [{ serial: LUNPORT, name: 'lunport' }, ...OTHERS];

interface Turn {
  readonly disk: string;
  readonly work: string;
  readonly iops: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Microseconds per request. */
  readonly hostCpu: number;
}

/** The part of fio's JSON that is of use here. */
interface FioReport {
  readonly jobs: readonly { readonly read: FioDirection; readonly write: FioDirection }[];
}
interface FioDirection {
  readonly total_ios: number;
  readonly iops: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}

/** A controller and an I/O thread for each of QEMU's own disks, as one sets them up for speed. */
function qemuArguments(folder: string): string[] {
  return OTHERS.flatMap(({ serial, aio }) => [
    '-object',
    `iothread,id=thread-${aio}`,
    '-device',
    `virtio-scsi-pci,id=bus-${aio},iothread=thread-${aio}`,
    '-drive',
    `if=none,id=drive-${aio},format=raw,aio=${aio},cache=${direct ? 'none' : 'writeback'},file=${join(folder, serial)}`,
    '-device',
    `scsi-hd,bus=bus-${aio}.0,drive=drive-${aio},serial=${serial}`,
  ]);
}

/** CPU seconds of all threads that do not run the guest; `debug-threads` names those that do. */
function outsideOfGuest(pid: number): number {
  const folder = `/proc/${pid}/task`;
  const virtual = readdirSync(folder).filter((task) =>
    readFileSync(join(folder, task, 'comm'), 'latin1').startsWith('CPU '),
  );
  if (virtual.length === 0) throw new Error('QEMU does not name the threads of its virtual CPUs');
  const guest = virtual.reduce((sum, task) => sum + threadTicks(pid, task), 0);
  return (cpuTicks(pid) - guest) / TICKS_PER_SECOND;
}

async function turn(guest: Guest, pid: number, disk: (typeof DISKS)[number], work: (typeof WORKS)[number]) {
  const before = outsideOfGuest(guest.pid) + cpuSeconds(pid);
  const { status, output } = await guest.exec(
    `fio --name=bench --filename=$(disk ${disk.serial}) --direct=1 --ioengine=libaio ${work.fio} \
     --runtime=${seconds} --time_based --randrepeat=0 --norandommap --output-format=json`,
  );
  const cpu = outsideOfGuest(guest.pid) + cpuSeconds(pid) - before;
  if (status !== 0) throw new Error(`fio on ${disk.name}: ${output}`);
  const report = JSON.parse(output.slice(output.indexOf('{'))) as FioReport;
  const [{ read, write }] = report.jobs;
  const side = read.total_ios > 0 ? read : write;
  const percentile = (which: string) => (side.clat_ns.percentile?.[which] ?? 0) / 1000;
  return {
    disk: disk.name,
    work: work.name,
    iops: side.iops,
    p50: percentile('50.000000'),
    p99: percentile('99.000000'),
    p999: percentile('99.900000'),
    hostCpu: (cpu * 1e6) / side.total_ios,
  };
}

/** Defines `disk SERIAL`, which prints a device. */
const FIND_DISK = `cat > /bin/disk <<'END'
for each in /sys/block/sd*; do
  if grep -q "$1" "$each/device/vpd_pg80"; then echo "/dev/\${each##*/}"; exit 0; fi
done
exit 1
END
chmod +x /bin/disk`;

const folder = temporaryFolder();
for (const { serial } of DISKS) fill(join(folder.path, serial), DISK_BYTES);
const serve = await startServe([
  `${join(folder.path, LUNPORT)},serial=${LUNPORT},cache=${direct ? 'none' : 'writeback'}`,
]);
const guest = await Guest.start({
  vehicle: 'initrd',
  initrd: { tools: ['fio'] },
  vhostUserScsi: [{ socket: serve.socket }],
  extraArgs: ['-name', 'bench,debug-threads=on', ...qemuArguments(folder.path)],
});
const turns: Turn[] = [];
try {
  const { status, output } = await guest.exec(FIND_DISK);
  if (status !== 0) throw new Error(output);
  for (const work of WORKS) {
    for (let round = 0; round < rounds; round++) {
      for (const disk of round % 2 === 0 ? DISKS : DISKS.toReversed()) {
        turns.push(await turn(guest, serve.pid, disk, work));
      }
    }
    console.log(`\n${work.name}\n${line('', ['IOPS', 'p50 µs', 'p99 µs', 'p99.9 µs', 'CPU/IO µs'])}`);
    for (const { name } of DISKS) {
      const own = turns.filter((each) => each.work === work.name && each.disk === name);
      const of = (field: 'iops' | 'p50' | 'p99' | 'p999' | 'hostCpu') =>
        median(own.map((each) => each[field]));
      const numbers = [of('iops'), of('p50'), of('p99'), of('p999')].map((value) => value.toFixed(0));
      console.log(line(name, [...numbers, of('hostCpu').toFixed(1)]));
    }
  }
} finally {
  await guest.close();
  await serve.stop();
  folder.remove();
}
if (env['BENCH_JSON']) writeFileSync(env['BENCH_JSON'], `${JSON.stringify(turns, null, 2)}\n`);

function line(name: string, fields: readonly string[]): string {
  return name.padEnd(18) + fields.map((field) => field.padStart(11)).join('');
}
