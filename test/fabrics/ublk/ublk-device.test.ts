import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import test from 'ava';
import { hasUblk } from '../../../src/fabrics/ublk/ublk-device.ts';
import { CONTROL_DEVICE } from '../../../src/fabrics/ublk/ublk-spec.ts';
import { RegionMemory } from '../../../src/native/memory.ts';

test('who may not ask the driver has no ublk, and no error either', async (t) => {
  const may = await access(CONTROL_DEVICE, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  const has = await hasUblk(new RegionMemory());
  t.true(may || !has);
});
