/**
 * `make fuzz`: hostile input for as long as asked: SECONDS_EACH=600, or ARGS='--seconds 600 --target rings --seed 1'. A
 * complaint is told with the seed that brings it again. Ends with `fuzz: N runs, C crashes`.
 */
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

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: process.env['SECONDS_EACH'] || '20' },
    target: { type: 'string', multiple: true, default: Object.keys(TARGETS) },
    seed: { type: 'string' },
  },
});
let total = 0;
let crashes = 0;
for (const name of values.target) {
  const target = TARGETS[name];
  if (target === undefined)
    throw new Error(`there are the targets ${Object.keys(TARGETS).join(', ')}, not ${name}`);
  const end = Date.now() + Number(values.seconds) * 1000;
  let seed = Number(values.seed ?? Date.now() % 1_000_000_007);
  let runs = 0;
  let failed = false;
  do {
    const fuzz = target.make(seed);
    await fuzz.run(target.count);
    runs += fuzz.runs;
    failed = fuzz.complaints.length > 0;
    if (failed) console.error(`${name}, --target ${name} --seed ${seed}:\n${fuzz.complaints.join('\n')}`);
    seed++;
  } while (!failed && Date.now() < end && values.seed === undefined);
  console.log(`${name}: ${runs} ${target.unit}${failed ? ', and then a complaint' : ''}`);
  total += runs;
  if (failed) crashes++;
}
console.log(`fuzz: ${total} runs, ${crashes} crashes`);
process.exitCode = crashes > 0 ? 1 : 0;
