/** Bounded runs of the fabrics' fuzz targets; `make fuzz` runs them longer. */
import test from 'ava';
import { MessageFuzz } from '../support/fuzz/message-fuzz.ts';
import { PduFuzz } from '../support/fuzz/pdu-fuzz.ts';
import { RingFuzz } from '../support/fuzz/ring-fuzz.ts';

const targets = [
  ['rings change no byte that was not given to the device', (seed: number) => new RingFuzz(seed), 150],
  ['messages end their own connection at most', (seed: number) => new MessageFuzz(seed), 300],
  ['PDUs leave a well-behaved session alone', (seed: number) => new PduFuzz(seed), 60],
] as const;

for (const [title, make, count] of targets) {
  test.serial(`hostile ${title}`, async (t) => {
    t.timeout(120_000);
    for (const seed of [1, 7919]) {
      const fuzz = make(seed);
      await fuzz.run(count);
      t.deepEqual(fuzz.complaints, [], `seed ${seed}`);
      // Some guests are refused before they have a ring.
      t.true(fuzz.runs >= 0.8 * count);
    }
  });
}
