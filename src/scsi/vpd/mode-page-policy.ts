/** Mode Page Policy VPD page (SPC-4 7.8.10): every initiator sees and changes the same values. */
import type { VpdPage } from './vpd-page.ts';

const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;
const SHARED = 0x00;

export const modePagePolicyPage: VpdPage = {
  code: 0x87,
  name: 'Mode Page Policy',
  body: () => Uint8Array.of(ALL_PAGES, ALL_SUBPAGES, SHARED, 0),
};
