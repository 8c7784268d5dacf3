/** Logical Block Provisioning log page (SBC-3 6.3.4): the space below a thin disk, in threshold sets. */
import { putU32 } from '../bytes.ts';
import { ThresholdResource } from '../provisioning-thresholds.ts';
import { binaryList, type LogPage } from './log-page.ts';

/** SCOPE of byte 4: the space may be shared with other logical units. */
const SHARED = 0x02;

function resourceCount(count: number): Uint8Array {
  const value = new Uint8Array(8);
  putU32(value, 0, Math.min(count, 0xffff_ffff));
  value[4] = SHARED;
  return value;
}

export const logicalBlockProvisioningLogPage: LogPage = {
  code: 0x0c,
  subpage: 0,
  name: 'Logical Block Provisioning',
  supported: (device) => device.thresholds.supported,
  parameters: ({ thresholds }) =>
    // The parameter codes are those of the resources.
    [ThresholdResource.AVAILABLE, ThresholdResource.USED].map((resource) =>
      binaryList(resource, resourceCount(thresholds.count(resource))),
    ),
};
