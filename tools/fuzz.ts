/**
 * `make fuzz`: hostile input for as long as asked. ARGS='--seconds 600 --seed 1'. Ends with 1 at the first
 * complaint, and says with which seed it comes again.
 */
import { parseArgs } from 'node:util';
import { CoreFuzz } from '../test/support/fuzz-core.ts';

const COMMANDS_PER_DISK = 400;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } },
});
const end = Date.now() + Number(values.seconds) * 1000;
let seed = Number(values.seed ?? Date.now() % 1_000_000_007);
let commands = 0;
do {
  const fuzz = new CoreFuzz(seed);
  await fuzz.run(COMMANDS_PER_DISK);
  commands += fuzz.commands;
  if (fuzz.complaints.length > 0) {
    console.error(`core, --seed ${seed}:\n${fuzz.complaints.join('\n')}`);
    process.exitCode = 1;
    break;
  }
  seed++;
} while (Date.now() < end && values.seed === undefined);
console.log(`core: ${commands} commands`);
