import test from 'ava';
import {
  ANY_TARGET,
  lunOf,
  NO_TARGET,
  putLunField,
  targetOf,
} from '../../../src/fabrics/vhost-user/lun-field.ts';
import { INVALID_LUN, REPORT_LUNS_WELL_KNOWN_LUN } from '../../../src/scsi/lun-map.ts';

const rows: readonly [string, number[], number, number?][] = [
  ['LUN 0 as SLOF writes it', [1, 0, 0, 0], 0, 0],
  ['LUN 0 as Linux writes it', [1, 0, 0x40, 0], 0, 0],
  ['peripheral LUN 255 of target 7', [1, 7, 0, 255], 7, 255],
  ['flat LUN 16383 of target 255', [1, 255, 0x7f, 0xff], 255, 16383],
  ['the well-known LUN in a form of its own', [0xc1, 1], ANY_TARGET, REPORT_LUNS_WELL_KNOWN_LUN],
  ['the well-known LUN as Linux writes it', [1, 3, 0xc1, 1], 3, REPORT_LUNS_WELL_KNOWN_LUN],
  ['another bus', [1, 0, 0x01, 0], 0, INVALID_LUN],
  ['logical unit addressing', [1, 0, 0x80, 0], 0, INVALID_LUN],
  ['another well-known LUN', [1, 0, 0xc1, 2], 0, INVALID_LUN],
  ['a second level', [1, 0, 0x40, 1, 0, 1], 0, INVALID_LUN],
  ['rubbish at the end', [1, 0, 0x40, 1, 0, 0, 0, 1], 0, INVALID_LUN],
  ['no known form', [0, 0, 0x40, 0], NO_TARGET],
  ['a well-known form with rubbish', [0xc1, 1, 0, 0, 0, 0, 0, 1], NO_TARGET],
];

for (const [what, field, target, lun] of rows) {
  test(`${what} is decoded`, (t) => {
    const bytes = new Uint8Array(10);
    bytes.set(field, 2);
    t.is(targetOf(bytes, 2), target);
    if (lun !== undefined) t.is(lunOf(bytes, 2), lun);
  });
}

for (const lun of [0, 1, 255, 256, 16383]) {
  test(`LUN ${lun} is written as it is read`, (t) => {
    const bytes = new Uint8Array(8).fill(0xff);
    putLunField(bytes, 0, 9, lun);
    t.is(targetOf(bytes, 0), 9);
    t.is(lunOf(bytes, 0), lun);
  });
}
