import test from 'ava';
import { makePlan } from '../../bench/plan.ts';

const NO_FILE = { BENCH_DISKS: 'null,ram' };

test('a plan measures the works that are named, in rounds of turns', (t) => {
  const env = { BENCH_WORKS: '4k randread:32,128k write:1:4', BENCH_ROUNDS: '9', BENCH_SECONDS: '0.5' };
  const plan = makePlan({ ...NO_FILE, ...env }, 'full');
  t.deepEqual(
    plan.works.map(({ pattern, depth, queues }) => [pattern.name, depth, queues]),
    [
      ['4k randread', 32, 1],
      ['128k write', 1, 4],
    ],
  );
  t.is(plan.rounds, 9);
  t.is(plan.timing.seconds, 0.5);
  t.is(plan.maxQueues, 4);
  t.deepEqual(plan.kinds, ['null', 'ram']);
});

test('each cell has an odd number of turns, so that its median is one of them', (t) => {
  for (const extent of [{}, { BENCH_QUICK: '1' }, { BENCH_PAGE: '1' }]) {
    const { rounds } = makePlan({ ...NO_FILE, ...extent }, 'full');
    t.true(rounds >= 3 && rounds % 2 === 1, JSON.stringify(extent));
  }
});

for (const [name, value] of [
  ['BENCH_WORKS', '4k randread'],
  ['BENCH_WORKS', '4k randread:'],
  ['BENCH_WORKS', '4k randread:1.5'],
  ['BENCH_WORKS', '4k randread:1:2:3'],
  ['BENCH_WORKS', '5k randread:1'],
  ['BENCH_ROUNDS', '0'],
  ['BENCH_ROUNDS', '2.5'],
  ['BENCH_SECONDS', '-1'],
  ['BENCH_DISKS', 'tape'],
] as const) {
  test(`${name}=${value} is refused`, (t) => {
    t.throws(() => makePlan({ ...NO_FILE, [name]: value }, 'full'), { message: new RegExp(`^${name}: `) });
  });
}
