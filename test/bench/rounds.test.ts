import test from 'ava';
import type { MeasurementResult } from '../../bench/measurement.ts';
import { summary } from '../../bench/rounds.ts';
import { inTurn } from '../../bench/run.ts';

function turn(change: Partial<MeasurementResult>): MeasurementResult {
  const figures = { iops: 1, bytesPerSecond: 1, mean: 1, p50: 1, p99: 1, p999: 1, max: 1 };
  return { ...figures, targetCpu: 1, generatorCpu: 1, kicks: 1, failed: 0, lost: 0, ...change };
}

test('each figure of a cell is the median of its turns, whichever turn that is', (t) => {
  const turns = [
    turn({ iops: 100, p50: 9, targetCpu: 0.5 }),
    turn({ iops: 900, p50: 2, targetCpu: 0.4 }),
    turn({ iops: 500, p50: 3, targetCpu: 0.6 }),
  ];
  const { rounds, result, least, most } = summary(turns);
  t.is(rounds, 3);
  t.like(result, { iops: 500, p50: 3, targetCpu: 0.5 });
  t.like(least, { iops: 100, p50: 2, targetCpu: 0.4 });
  t.like(most, { iops: 900, p50: 9, targetCpu: 0.6 });
});

test('a request that failed in one turn only is counted', (t) => {
  const { result } = summary([turn({}), turn({ failed: 2 }), turn({ lost: 1 })]);
  t.like(result, { failed: 2, lost: 1 });
});

test('every other round begins with the last target', (t) => {
  t.deepEqual(
    [0, 1, 2].map((round) => inTurn(['a', 'b', 'c'], round).join('')),
    ['abc', 'cba', 'abc'],
  );
});
