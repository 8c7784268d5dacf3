import test from 'ava';
import { GuestViews, type ViewedRegion } from '../../../src/fabrics/vhost-user/guest-views.ts';

const GIB = 2 ** 30;

/** A mapping of three windows, each of which says in its first bytes which one it is; the windows are not that long. */
function region(id: number): ViewedRegion {
  const windows = [0, 1, 2].map((index) => new Uint8Array(64).fill(16 * id + index));
  return { id, windowCount: windows.length, window: (index) => windows[index] };
}

const wordOf = (id: number, window: number) => (16 * id + window) * 0x0101_0101;

test('words are found in the window and the region that was asked for, whatever was asked for before', (t) => {
  const views = new GuestViews();
  views.add(region(1));
  views.add(region(2));
  const rows = [
    { id: 1, offset: 0, window: 0, index: 0 },
    { id: 1, offset: 12, window: 0, index: 3 },
    { id: 2, offset: 8, window: 0, index: 2 },
    { id: 2, offset: GIB - 4, window: 0, index: GIB / 4 - 1 },
    { id: 2, offset: GIB, window: 1, index: 0 },
    { id: 1, offset: GIB + 4, window: 1, index: 1 },
    // The last window reaches further than the others.
    { id: 1, offset: 3 * GIB + 4, window: 2, index: GIB / 4 + 1 },
    { id: 1, offset: 2 * GIB, window: 2, index: 0 },
    { id: 1, offset: 2 * GIB - 4, window: 1, index: GIB / 4 - 1 },
    { id: 1, offset: 4, window: 0, index: 1 },
  ];
  for (const { id, offset, window, index } of [...rows, ...rows.toReversed()]) {
    t.is(views.words(id, offset)[0], wordOf(id, window), `region ${id}, offset ${offset}`);
    t.is(views.wordIndex, index, `region ${id}, offset ${offset}`);
  }
});

test('a region that took the number of a removed one is looked into instead', (t) => {
  const views = new GuestViews();
  const old = region(1);
  views.add(old);
  t.is(views.words(1, 0)[0], wordOf(1, 0));
  views.remove(old);
  t.throws(() => views.words(1, 0));
  const bytes = new Uint8Array(64).fill(7);
  views.add({ id: 1, windowCount: 1, window: () => bytes });
  t.is(views.words(1, 0)[0], 0x0707_0707);
});
