/** The bounded run of the block device's fuzz target; `make fuzz` runs it longer. */
import test from 'ava';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { BlkFuzz } from '../../support/fuzz/blk-fuzz.ts';
import { USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';

const REQUESTS = 1500;
const PACKED = USUAL_FEATURES | (1n << BigInt(VirtioFeature.RING_PACKED));

for (const [rings, features] of [
  ['split', USUAL_FEATURES],
  ['packed', PACKED],
] as const) {
  test(`${REQUESTS} hostile requests in ${rings} rings change the bytes that they should, and no other`, async (t) => {
    t.timeout(60_000);
    const seed = 4711;
    const fuzz = new BlkFuzz(seed, { features });
    await fuzz.run(REQUESTS);
    t.deepEqual(fuzz.complaints, [], `seed ${seed}`);
    t.is(fuzz.runs, REQUESTS);
  });
}
