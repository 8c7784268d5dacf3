/** Power Condition VPD page (SPC-4 7.8.11): all conditions of START STOP UNIT, entered and left at once. */
import type { VpdPage } from './vpd-page.ts';

const LENGTH = 14;
const STANDBY_Y_AND_Z = 0x03;
const IDLE_C_B_AND_A = 0x07;

export const powerConditionVpdPage: VpdPage = {
  code: 0x8a,
  name: 'Power Condition',
  body: () => {
    const body = new Uint8Array(LENGTH);
    body[0] = STANDBY_Y_AND_Z;
    body[1] = IDLE_C_B_AND_A;
    return body;
  },
};
