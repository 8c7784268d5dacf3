/**
 * `make fuzz`: hostile input for as long as asked: SECONDS_EACH=600, or ARGS='--seconds 600 --target rings --seed 1'.
 * Each target runs in a process of its own, so that a crash, a hang and a leak of memory are complaints too. A
 * complaint is told with the seed that brings it again. Ends with `fuzz: N runs, C crashes`, where a complaint of any
 * kind counts as one.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { BlkFuzz } from '../test/support/fuzz/blk-fuzz.ts';
import { CoreFuzz } from '../test/support/fuzz/core-fuzz.ts';
import { MessageFuzz } from '../test/support/fuzz/message-fuzz.ts';
import { PduFuzz } from '../test/support/fuzz/pdu-fuzz.ts';
import { RingFuzz } from '../test/support/fuzz/ring-fuzz.ts';

interface Fuzz {
  readonly complaints: readonly string[];
  /** Of its own unit: commands, rings, messages, PDUs. */
  readonly runs: number;
  run(count: number): Promise<void>;
}

interface Target {
  readonly unit: string;
  /** What one seed is good for. */
  readonly count: number;
  readonly make: (seed: number) => Fuzz;
}

const TARGETS: Readonly<Record<string, Target>> = {
  core: { unit: 'commands', count: 400, make: (seed) => new CoreFuzz(seed) },
  rings: { unit: 'rings', count: 200, make: (seed) => new RingFuzz(seed) },
  blk: { unit: 'block requests', count: 400, make: (seed) => new BlkFuzz(seed) },
  messages: { unit: 'messages', count: 200, make: (seed) => new MessageFuzz(seed) },
  pdus: { unit: 'PDUs', count: 100, make: (seed) => new PduFuzz(seed) },
};

const MEBIBYTE = 1 << 20;
/** Seeds until a process has all the memory that it needs. */
const WARM_UP_SEEDS = 15;
/** Growth from there on that is a leak, bytes; V8 and the C library keep some of what they once had. */
const LEAK_BYTES = 128 * MEBIBYTE;
/**
 * A seed takes seconds, and its own waits end after half a minute. Time in which the process wanted to run and was not
 * let does not count: on a busy machine that may be minutes.
 */
const HANG_MS = 180_000;

/** From a target's process, before each seed and at the end. */
interface Progress {
  readonly seed: number;
  readonly runs: number;
  /** Bytes of memory that the process has. */
  readonly memory: number;
  readonly complaints: readonly string[];
}

/** In the target's process: one seed after the other, until it is killed or something is wrong. */
async function runSeeds(name: string, first: number, only: boolean): Promise<void> {
  const { make, count } = TARGETS[name];
  let runs = 0;
  for (let seed = first; ; seed++) {
    const said: Progress = { seed, runs, memory: process.memoryUsage.rss(), complaints: [] };
    process.send!(said);
    const fuzz = make(seed);
    await fuzz.run(count);
    runs += fuzz.runs;
    const { complaints } = fuzz;
    if (only || complaints.length > 0) {
      process.send!({ ...said, runs, complaints } satisfies Progress);
      process.disconnect();
      return;
    }
  }
}

/** Milliseconds for which a process has waited for a processor; 0 when it has ended. */
function heldUp(pid: number): number {
  try {
    const [, waited] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
    return Number(waited) / 1e6;
  } catch {
    return 0;
  }
}

interface Outcome {
  readonly runs: number;
  /** What went wrong, and with which seed. */
  readonly complaint: string | undefined;
}

/** Watches over a target's process for so many seconds. */
function supervise(name: string, seconds: number, seed: number, only: boolean): Promise<Outcome> {
  const child: ChildProcess = fork(process.argv[1], ['--child', name, '--seed', `${seed}`], {
    env: { ...process.env, LUNPORT_FUZZ_ONLY: only ? '1' : '' },
  });
  let last: Progress = { seed, runs: 0, memory: 0, complaints: [] };
  let seeds = 0;
  let usual = 0;
  return new Promise((resolve) => {
    let complaint: string | undefined;
    const end = (what: string | undefined): void => {
      complaint ??= what && `--target ${name} --seed ${last.seed}: ${what}`;
      child.kill('SIGKILL');
    };
    let heldUpBefore = 0;
    const isHung = () => {
      const heldUpNow = heldUp(child.pid!);
      const excuse = heldUpNow - heldUpBefore;
      heldUpBefore = heldUpNow;
      if (excuse > 1000) hang = setTimeout(isHung, excuse);
      else end(`nothing was heard of it for ${HANG_MS / 1000} s`);
    };
    let hang = setTimeout(isHung, HANG_MS);
    const enough = setTimeout(() => end(undefined), only ? HANG_MS : seconds * 1000);
    let done = false;
    child.on('message', (progress: Progress) => {
      clearTimeout(hang);
      hang = setTimeout(isHung, HANG_MS);
      heldUpBefore = heldUp(child.pid!);
      done ||= only && progress.runs > 0;
      last = progress;
      seeds++;
      if (seeds <= WARM_UP_SEEDS) usual = Math.max(usual, progress.memory);
      else if (progress.memory > usual + LEAK_BYTES)
        end(`memory grew from ${usual / MEBIBYTE} to ${progress.memory / MEBIBYTE} MiB in ${seeds} seeds`);
      if (progress.complaints.length > 0) end(progress.complaints.join('\n'));
    });
    child.once('exit', (code, signal) => {
      clearTimeout(hang);
      clearTimeout(enough);
      if (!done && signal !== 'SIGKILL') end(`its process ended with ${code ?? signal}`);
      resolve({ runs: last.runs, complaint });
    });
  });
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: process.env['SECONDS_EACH'] || '20' },
    target: { type: 'string', multiple: true, default: Object.keys(TARGETS) },
    seed: { type: 'string' },
    child: { type: 'string' },
  },
});
const seed = Number(values.seed ?? Date.now() % 1_000_000_007);

if (values.child !== undefined) {
  await runSeeds(values.child, seed, process.env['LUNPORT_FUZZ_ONLY'] === '1');
} else {
  let total = 0;
  let complaints = 0;
  for (const name of values.target) {
    const target = TARGETS[name];
    if (target === undefined)
      throw new Error(`there are the targets ${Object.keys(TARGETS).join(', ')}, not ${name}`);
    const { runs, complaint } = await supervise(
      name,
      Number(values.seconds),
      seed,
      values.seed !== undefined,
    );
    console.log(
      `${name}: ${runs} ${target.unit}, from seed ${seed}${complaint ? ', and then a complaint' : ''}`,
    );
    if (complaint !== undefined) console.error(complaint);
    total += runs;
    if (complaint !== undefined) complaints++;
  }
  console.log(`fuzz: ${total} runs, ${complaints} crashes`);
  process.exitCode = complaints > 0 ? 1 : 0;
}
