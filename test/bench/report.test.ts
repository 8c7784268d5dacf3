import test from 'ava';
import type { MeasurementResult } from '../../bench/measurement.ts';
import { picture } from '../../bench/picture.ts';
import { type Cell, count, table } from '../../bench/report.ts';
import { summary } from '../../bench/rounds.ts';

function cell(target: string, iops: number, change: Partial<MeasurementResult> = {}): Cell {
  const result: MeasurementResult = {
    iops,
    bytesPerSecond: iops * 4096,
    mean: 3,
    p50: 2.5,
    p99: 12.34,
    p999: 345.6,
    max: 345.6,
    targetCpu: 0.5,
    generatorCpu: 0.25,
    kicks: 0,
    failed: 0,
    lost: 0,
    ...change,
  };
  return { target, disk: 'ram', pattern: '4k randread', queues: 1, depth: 32, ...summary([result]) };
}

test('every result stands beside its fraction of the limit', (t) => {
  const text = table([cell('lunport', 600_000), cell('minimal C, polling', 1_200_000)]);
  const line = text.split('\n').find((each) => each.startsWith('lunport'));
  t.regex(line!, /600 k +2458 +2\.5 +12\.3 +346 +0\.50 +0\.25 +50 % +-$/);
});

test('without a limit there is no fraction', (t) => {
  t.regex(table([cell('lunport', 600_000)]), / -$/m);
});

test('failed and lost requests are not hidden', (t) => {
  t.regex(table([cell('lunport', 1, { failed: 2, lost: 3 })]), /2 failed, 3 lost/);
});

for (const [value, text] of [
  [950, '0.9 k'],
  [9_940, '9.9 k'],
  [123_456, '123 k'],
  [2_345_678, '2.35 M'],
] as const) {
  test(`${value} is printed as ${text}`, (t) => t.is(count(value), text));
}

test('the picture has a bar per result and names its targets', (t) => {
  const svg = picture([cell('a & b', 10), cell('c', 20)]);
  t.is(svg.match(/<rect /g)?.length, 1 + 2 + 2);
  t.true(svg.includes('a &amp; b'));
});
