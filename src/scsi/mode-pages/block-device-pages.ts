/** The mode pages of a direct access block device, in ascending order of page and subpage code. */
import { cachingPage } from './caching.ts';
import { controlExtensionPage, controlPage } from './control.ts';
import { formatDevicePage, rigidDiskGeometryPage } from './geometry.ts';
import { informationalExceptionsPage } from './informational-exceptions.ts';
import { logicalBlockProvisioningModePage } from './logical-block-provisioning.ts';
import type { ModePage } from './mode-page.ts';
import { powerConditionPage } from './power-condition.ts';
import { readWriteErrorRecoveryPage } from './read-write-error-recovery.ts';

export const blockDeviceModePages: readonly ModePage[] = [
  readWriteErrorRecoveryPage,
  formatDevicePage,
  rigidDiskGeometryPage,
  cachingPage,
  controlPage,
  controlExtensionPage,
  powerConditionPage,
  informationalExceptionsPage,
  logicalBlockProvisioningModePage,
];
