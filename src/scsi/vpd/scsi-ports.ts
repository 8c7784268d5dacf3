/**
 * SCSI Ports VPD page (SPC-4 7.8.14): a descriptor for each target port of the device, with its name.
 *
 *   0  reserved                        6  INITIATOR PORT TRANSPORTID LENGTH (0)
 *   2  RELATIVE PORT IDENTIFIER        8  reserved
 *                                     10  TARGET PORT DESCRIPTORS LENGTH
 *                                     12  designation descriptors
 */
import { concatenate, putU16 } from '../bytes.ts';
import { targetPortName } from './designation-descriptor.ts';
import type { VpdPage } from './vpd-page.ts';

const PORT_HEADER = 12;

export const scsiPortsPage: VpdPage = {
  code: 0x88,
  name: 'SCSI Ports',
  body: (task) => {
    const ports = [...task.logicalUnit.targetPorts.values()].sort((a, b) => a.relativeId - b.relativeId);
    return concatenate(
      ports.flatMap((port) => {
        const name = targetPortName(port);
        const header = new Uint8Array(PORT_HEADER);
        putU16(header, 2, port.relativeId);
        putU16(header, 10, name?.length ?? 0);
        return [header, name];
      }),
    );
  },
};
