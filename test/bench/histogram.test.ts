import test from 'ava';
import fc from 'fast-check';
import { Histogram } from '../../bench/histogram.ts';

test('values below 64 ns are kept exactly', (t) => {
  for (const value of [0, 1, 31, 63]) {
    const histogram = new Histogram();
    histogram.record(value);
    t.is(histogram.percentile(0.5), value);
  }
});

test('any value comes back with an error below 1/64', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x7fff_ffff }), (value) => {
      const histogram = new Histogram();
      histogram.record(value);
      return Math.abs(histogram.percentile(1) - value) <= value / 64;
    }),
  );
  t.pass();
});

test('percentiles are those of the sorted values', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1e7 }), { minLength: 1, maxLength: 200 }),
      fc.constantFrom(0.5, 0.9, 0.99, 0.999, 1),
      (values, fraction) => {
        const histogram = new Histogram();
        for (const value of values) histogram.record(value);
        const sorted = values.toSorted((a, b) => a - b);
        const expected = sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)];
        return Math.abs(histogram.percentile(fraction) - expected) <= expected / 64;
      },
    ),
  );
  t.pass();
});

test('values out of range count at the ends', (t) => {
  const histogram = new Histogram();
  histogram.record(-5);
  histogram.record(1e12);
  t.is(histogram.count, 2);
  t.is(histogram.percentile(0.5), 0);
  t.true(histogram.percentile(1) > 2.1e9);
});

test('an empty histogram answers 0, and clear empties one', (t) => {
  const histogram = new Histogram();
  t.is(histogram.percentile(0.99), 0);
  t.is(histogram.mean(), 0);
  histogram.record(1000);
  histogram.clear();
  t.is(histogram.count, 0);
  t.is(histogram.percentile(0.99), 0);
});

test('the mean is that of the values', (t) => {
  const histogram = new Histogram();
  for (const value of [10, 20, 60]) histogram.record(value);
  t.is(histogram.mean(), 30);
});
