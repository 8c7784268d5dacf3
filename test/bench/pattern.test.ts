import test from 'ava';
import { PATTERNS, RequestSequence } from '../../bench/pattern.ts';

const DISK = 1 << 30;
const DRAWS = 20_000;

for (const pattern of PATTERNS) {
  test(`${pattern.name}: every request lies on the disk, aligned to its size`, (t) => {
    const sequence = new RequestSequence(pattern, DISK);
    let reads = 0;
    for (let i = 0; i < DRAWS; i++) {
      if (sequence.nextIsRead()) reads++;
      const offset = sequence.nextOffset();
      if (offset % pattern.requestBytes !== 0 || offset < 0 || offset + pattern.requestBytes > DISK) {
        t.fail(`offset ${offset}`);
        return;
      }
    }
    t.true(Math.abs(reads / DRAWS - pattern.readPercentage / 100) < 0.02, `${reads} reads`);
  });
}

test('a random pattern reaches all quarters of the disk alike', (t) => {
  const sequence = new RequestSequence(PATTERNS[0], DISK);
  const quarters = [0, 0, 0, 0];
  for (let i = 0; i < DRAWS; i++) quarters[Math.floor((4 * sequence.nextOffset()) / DISK)]++;
  for (const hits of quarters) t.true(Math.abs(hits / DRAWS - 0.25) < 0.02, String(quarters));
});

test('a sequential pattern goes block by block and starts over', (t) => {
  const pattern = { name: 'small', requestBytes: 512, sequential: true, readPercentage: 100 };
  const sequence = new RequestSequence(pattern, 2048);
  t.deepEqual(
    Array.from({ length: 6 }, () => sequence.nextOffset()),
    [512, 1024, 1536, 0, 512, 1024],
  );
});

test('a disk smaller than one request is refused', (t) => {
  t.throws(() => new RequestSequence(PATTERNS[4], 4096), { instanceOf: RangeError });
});
