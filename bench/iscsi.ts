/**
 * iSCSI beside Debian's tgt: the same image file in shared memory, the same initiator (libiscsi in `qemu-img bench`),
 * by turns in one run. Prints IOPS, CPU time of the target per request, and the ratio. `make bench-iscsi ARGS=[rounds]`
 */
import { execFile } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { startServe } from '../test/support/serve-process.ts';
import { startTgt } from '../tools/tgt.ts';
import { cpuSeconds } from './cpu-time.ts';

const BYTES = 256 << 20;
/** Requests from one to the next: prime, so that they jump about and reach all of the disk in the end. */
const STRIDE = 389;
/** Where temporary folders go: no disk's own speed is to be measured. */
process.env.TMPDIR = '/dev/shm';

interface Work {
  readonly name: string;
  readonly bytes: number;
  readonly depth: number;
  readonly write: boolean;
  readonly count: number;
}

const WORK: readonly Work[] = [
  { name: '4 KiB read, depth 1', bytes: 4096, depth: 1, write: false, count: 20_000 },
  { name: '4 KiB write, depth 1', bytes: 4096, depth: 1, write: true, count: 20_000 },
  { name: '4 KiB read, depth 32', bytes: 4096, depth: 32, write: false, count: 60_000 },
  { name: '4 KiB write, depth 32', bytes: 4096, depth: 32, write: true, count: 60_000 },
  { name: '128 KiB read, depth 16', bytes: 131_072, depth: 16, write: false, count: 12_000 },
  { name: '128 KiB write, depth 16', bytes: 131_072, depth: 16, write: true, count: 12_000 },
];

interface Peer {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
}

/** Requests per second, and CPU microseconds of the target per request. */
interface Figures {
  readonly iops: number;
  readonly cpu: number;
}

async function measure({ pid, url }: Peer, { bytes, depth, write, count }: Work): Promise<Figures> {
  const before = cpuSeconds(pid);
  const started = performance.now();
  const what = ['-c', count, '-d', depth, '-s', bytes, '-S', STRIDE * bytes].map(String);
  await promisify(execFile)('qemu-img', [
    'bench',
    '-f',
    'raw',
    '-t',
    'none',
    ...what,
    ...(write ? ['-w'] : []),
    url,
  ]);
  const seconds = (performance.now() - started) / 1000;
  return { iops: count / seconds, cpu: ((cpuSeconds(pid) - before) / count) * 1e6 };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 3);
  const folder = temporaryFolder();
  const image = join(folder.path, 'lunport.img');
  writeFileSync(image, '');
  truncateSync(image, BYTES);
  const serve = await startServe([image], { serveArguments: ['--iscsi', '127.0.0.1:0'] });
  const tgt = await startTgt(BYTES);
  const peers: Peer[] = [{ name: 'lunport', pid: serve.pid, url: serve.iscsi[0] }];
  if (tgt === undefined) console.log('tgt is not installed: lunport alone');
  else peers.push({ name: 'tgt', pid: tgt.pid, url: tgt.url });
  try {
    for (const peer of peers) await measure(peer, WORK[0]);
    for (const work of WORK) {
      const all: Figures[][] = peers.map(() => []);
      for (let round = 0; round < rounds; round++)
        for (const [i, peer] of peers.entries()) all[i].push(await measure(peer, work));
      const cells = all.map((figures, i) => {
        const iops = median(figures.map((one) => one.iops));
        const cpu = median(figures.map((one) => one.cpu));
        return { cpu, text: `${peers[i].name} ${iops.toFixed(0)} IOPS, ${cpu.toFixed(1)} µs CPU` };
      });
      const ratio =
        cells.length > 1 ? `; ${(cells[1].cpu / cells[0].cpu).toFixed(2)} times the work per CPU second` : '';
      console.log(`${work.name}: ${cells.map(({ text }) => text).join('; ')}${ratio}`);
    }
  } finally {
    await serve.stop();
    await tgt?.stop();
    folder.remove();
  }
}

await main();
