/** Extended INQUIRY Data VPD page (SPC-4 7.8.7): abilities that have no command of their own to be asked for. */
import { blockDeviceOf } from '../block-device-of.ts';
import { putU16 } from '../bytes.ts';
import { extendedSelfTestSeconds } from '../self-test.ts';
import { MAX_SENSE_LENGTH } from '../task.ts';
import type { VpdPage } from './vpd-page.ts';

const LENGTH = 0x3c;
/** SPT 111b (types 1, 2 and 3), and guard, application tag and reference tag are checked. */
const PROTECTION = 0x3f;
/** Task attributes: head of queue, ordered, simple. */
const HEADSUP_ORDSUP_SIMPSUP = 0x07;
/** A volatile cache exists. */
const V_SUP = 0x01;
/** REPORT LUNS clears its unit attention on every logical unit of the nexus. */
const LUICLR = 0x01;
/** REPORT REFERRALS is there. */
const R_SUP = 0x10;
/** MODE SELECT can go back to the defaults. */
const RTD_SUP = 0x08;
const LARGEST_MINUTES = 0xffff;

export const extendedInquiryDataPage: VpdPage = {
  code: 0x86,
  name: 'Extended INQUIRY Data',
  body: (task) => {
    const device = blockDeviceOf(task);
    const body = new Uint8Array(LENGTH);
    body[0] = device.protection.supported ? PROTECTION : 0;
    body[1] = HEADSUP_ORDSUP_SIMPSUP;
    body[2] = device.backstore.capabilities.volatileCache ? V_SUP : 0;
    body[3] = LUICLR;
    body[4] = (device.attributes.alua_support === 0 ? 0 : R_SUP) | RTD_SUP;
    putU16(body, 6, Math.min(Math.ceil(extendedSelfTestSeconds(device) / 60), LARGEST_MINUTES));
    body[9] = MAX_SENSE_LENGTH;
    return body;
  },
};
