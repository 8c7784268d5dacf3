import test from 'ava';
import fc from 'fast-check';
import { GranuleMap } from '../../src/backstores/granule-map.ts';

const GRANULE = 4096;

test('a fresh map is one hole', (t) => {
  t.deepEqual(new GranuleMap(100 * GRANULE, GRANULE).extent(5 * GRANULE), {
    mapped: false,
    end: 100 * GRANULE,
  });
});

test('a write maps what it touches, an unmap frees what it covers', (t) => {
  const map = new GranuleMap(10 * GRANULE + 512, GRANULE);
  map.map(2 * GRANULE + 100, GRANULE);
  t.deepEqual(map.extent(0), { mapped: false, end: 2 * GRANULE });
  t.deepEqual(map.extent(3 * GRANULE), { mapped: true, end: 4 * GRANULE });
  map.unmap(2 * GRANULE + 1, 2 * GRANULE);
  t.deepEqual(map.extent(2 * GRANULE), { mapped: true, end: 3 * GRANULE });
  map.map(10 * GRANULE, 512);
  map.unmap(10 * GRANULE, 512);
  t.deepEqual(map.extent(3 * GRANULE), { mapped: false, end: 10 * GRANULE + 512 });
});

test('extents are what a list of granules says', (t) => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(99), fc.integer({ min: 1, max: 60 })), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(steps, fc.nat(99), (changes, at) => {
      const map = new GranuleMap(100 * GRANULE, GRANULE);
      const model = new Array<boolean>(100).fill(false);
      for (const [mapped, start, count] of changes) {
        const length = Math.min(count, 100 - start);
        model.fill(mapped, start, start + length);
        if (mapped) map.map(start * GRANULE, length * GRANULE);
        else map.unmap(start * GRANULE, length * GRANULE);
      }
      let end = at;
      while (end < 100 && model[end] === model[at]) end++;
      t.deepEqual(map.extent(at * GRANULE), { mapped: model[at], end: end * GRANULE });
    }),
  );
});
