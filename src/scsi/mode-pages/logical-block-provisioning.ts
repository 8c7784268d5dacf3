/**
 * Logical Block Provisioning mode page (SBC-3 6.4.7): thresholds of the space below a thin disk. Two descriptors,
 * one per resource; MODE SELECT enables them and sets their counts.
 *
 *   16, 24  ENABLED 7, THRESHOLD TYPE 5-3, THRESHOLD ARMING 2-0    +1  THRESHOLD RESOURCE    +4  THRESHOLD COUNT (4)
 */
import { u32 } from '../bytes.ts';
import { ThresholdResource } from '../provisioning-thresholds.ts';
import { emptyPage, type ModePage } from './mode-page.ts';

const DESCRIPTORS = [
  // Armed while decreasing.
  { at: 16, resource: ThresholdResource.AVAILABLE, arming: 0x00 },
  // Armed while increasing.
  { at: 24, resource: ThresholdResource.USED, arming: 0x01 },
] as const;
const LENGTH = 0x1c;
const ENABLED = 0x80;

export const logicalBlockProvisioningModePage: ModePage = {
  code: 0x1c,
  subpage: 0x02,
  name: 'Logical Block Provisioning',
  supported: (device) => device.thresholds.supported,
  defaults: () => {
    const page = emptyPage(0x1c, 0x02, LENGTH);
    for (const { at, resource, arming } of DESCRIPTORS) {
      page[at] = arming;
      page[at + 1] = resource;
    }
    return page;
  },
  changeable: () =>
    DESCRIPTORS.flatMap(({ at }) => [
      [at, ENABLED] as const,
      ...[4, 5, 6, 7].map((byte) => [at + byte, 0xff] as const),
    ]),
  apply: (device, values) => {
    const enabled = DESCRIPTORS.filter(({ at }) => (values[at] & ENABLED) !== 0);
    device.thresholds.set(enabled.map(({ at, resource }) => ({ resource, count: u32(values, at + 4) })));
  },
};
