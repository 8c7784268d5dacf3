/** The VPD pages of a direct access block device, in ascending order as the Supported VPD Pages page lists them. */
import { blockDeviceCharacteristicsPage } from './block-device-characteristics.ts';
import { blockLimitsPage } from './block-limits.ts';
import { deviceIdentificationPage } from './device-identification.ts';
import { extendedInquiryDataPage } from './extended-inquiry-data.ts';
import { logicalBlockProvisioningPage } from './logical-block-provisioning.ts';
import { modePagePolicyPage } from './mode-page-policy.ts';
import { powerConditionVpdPage } from './power-condition.ts';
import { referralsPage } from './referrals.ts';
import { scsiPortsPage } from './scsi-ports.ts';
import { thirdPartyCopyPage } from './third-party-copy.ts';
import { unitSerialNumberPage } from './unit-serial-number.ts';
import type { VpdPage } from './vpd-page.ts';

export const blockDeviceVpdPages: readonly VpdPage[] = [
  unitSerialNumberPage,
  deviceIdentificationPage,
  extendedInquiryDataPage,
  modePagePolicyPage,
  scsiPortsPage,
  powerConditionVpdPage,
  thirdPartyCopyPage,
  blockLimitsPage,
  blockDeviceCharacteristicsPage,
  logicalBlockProvisioningPage,
  referralsPage,
];
