/** Referrals VPD page (SBC-3 6.6.7): how user data segments are cut. REPORT REFERRALS tells them, one of all blocks. */
import type { BlockDevice } from '../block-device.ts';
import type { VpdPage } from './vpd-page.ts';

/** USER DATA SEGMENT SIZE and USER DATA SEGMENT MULTIPLIER of 0: look at REPORT REFERRALS for them. */
const BODY_LENGTH = 12;

export const referralsPage: VpdPage = {
  code: 0xb3,
  name: 'Referrals',
  supported: (unit) => (unit as BlockDevice).attributes.alua_support !== 0,
  body: () => new Uint8Array(BODY_LENGTH),
};
