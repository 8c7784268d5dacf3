/** The bounded run of the core's fuzz target; `make fuzz` runs it longer. */
import test from 'ava';
import { CoreFuzz } from '../support/fuzz/core-fuzz.ts';

const DISKS = 120;
const COMMANDS_PER_DISK = 250;

test('hostile commands throw nothing, all end exactly once, and nothing is left over', async (t) => {
  let commands = 0;
  for (let seed = 1; seed <= DISKS; seed++) {
    const fuzz = new CoreFuzz(seed * 7919);
    await fuzz.run(COMMANDS_PER_DISK);
    t.deepEqual(fuzz.complaints, [], `seed ${seed * 7919}`);
    commands += fuzz.runs;
  }
  t.true(commands > 10_000, `${commands} commands`);
});
