/** Unit Serial Number VPD page (SPC-4 7.8.15). */
import { putAscii } from '../bytes.ts';
import type { VpdPage } from './vpd-page.ts';

export const unitSerialNumberPage: VpdPage = {
  code: 0x80,
  name: 'Unit Serial Number',
  body: (task) => {
    const { serial } = task.logicalUnit.identity;
    const body = new Uint8Array(serial.length);
    putAscii(body, 0, body.length, serial);
    return body;
  },
};
