/** Block Device Characteristics VPD page (SBC-3 6.6.3). */
import { blockDeviceOf } from '../block-device-of.ts';
import { putU16 } from '../bytes.ts';
import type { VpdPage } from './vpd-page.ts';

const LENGTH = 0x3c;
const NOT_REPORTED = 0x0000;
const NON_ROTATING = 0x0001;
/** WABEREQ 01b: after SANITIZE, BLOCK ERASE every block can be read. There is no CRYPTOGRAPHIC ERASE (WACEREQ 0). */
const WABEREQ_READABLE = 0x40;
/** VERIFY compares unmapped blocks too, as what they read as. */
const VBULS = 0x01;

export const blockDeviceCharacteristicsPage: VpdPage = {
  code: 0xb1,
  name: 'Block Device Characteristics',
  body: (task) => {
    const { attributes, backstore } = blockDeviceOf(task);
    const nonRotating = attributes.is_nonrot !== 0 && !backstore.capabilities.rotational;
    const body = new Uint8Array(LENGTH);
    putU16(body, 0, nonRotating ? NON_ROTATING : NOT_REPORTED);
    body[3] = WABEREQ_READABLE;
    body[4] = VBULS;
    return body;
  },
};
