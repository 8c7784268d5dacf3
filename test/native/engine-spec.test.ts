import test from 'ava';
import { addon } from '../../src/native/addon.ts';
import { IoColumns, IoFlag, IoKind } from '../../src/native/engine-spec.ts';

test('the numbers of engine-spec.ts are those of engine_spec.h', (t) => {
  t.deepEqual(addon.engineSpec.kinds, { ...IoKind });
  t.deepEqual(addon.engineSpec.flags, { ...IoFlag });
  t.deepEqual(addon.engineSpec.columns, { ...IoColumns });
});

test('the sanitized addon is loaded when it is asked for', (t) => {
  t.is(addon.build, process.env['LUNPORT_ADDON']?.includes('sanitized') ? 'sanitized' : 'release');
});
