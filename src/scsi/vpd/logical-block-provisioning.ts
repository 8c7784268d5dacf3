/** Logical Block Provisioning VPD page (SBC-3 6.6.6). */
import { blockDeviceOf } from '../block-device-of.ts';
import { provisioningAbilities } from '../block-limits.ts';
import type { VpdPage } from './vpd-page.ts';

const LBPU = 0x80;
const LBPWS = 0x40;
const LBPWS10 = 0x20;
const LBPRZ = 0x04;
const ANC_SUP = 0x02;
const ProvisioningType = { FULL: 0, THIN: 2 } as const;

export const logicalBlockProvisioningPage: VpdPage = {
  code: 0xb2,
  name: 'Logical Block Provisioning',
  body: (task) => {
    const device = blockDeviceOf(task);
    const abilities = provisioningAbilities(device);
    const body = new Uint8Array(4);
    body[0] = device.thresholds.exponent;
    body[1] =
      (abilities.unmap ? LBPU : 0) |
      (abilities.writeSame ? LBPWS | LBPWS10 : 0) |
      (abilities.readsZero ? LBPRZ : 0) |
      (abilities.anchor ? ANC_SUP : 0);
    body[2] = abilities.managed ? ProvisioningType.THIN : ProvisioningType.FULL;
    return body;
  },
};
