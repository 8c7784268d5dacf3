/** Two disks with data that a copy may go between. */
import type { CommandResult } from '../../src/fabrics/loopback/initiator.ts';
import { u32 } from '../../src/scsi/bytes.ts';
import { DEFAULT_ATTRIBUTES } from '../../src/scsi/device-attributes.ts';
import { Disk } from '../../src/scsi/disk.ts';
import { ArrayBackstore } from './array-backstore.ts';
import { cscd } from './copy-lists.ts';
import { Core, TEST_IDENTITY } from './core.ts';

/** Of the second disk. */
const OTHER_NAA = TEST_IDENTITY.naa.slice().fill(0xee, 8);
/** CSCD DESCRIPTOR ID of the unit that got the command (SPC-4 table 120). */
export const OWN = 0xffff;
/** Size of each disk, bytes. */
const EXTENT = 1 << 20;

/** The own disk at LUN 0; a second at LUN 1, unless told otherwise. */
export function copyDisks({ mapped = true, writeProtected = false, blockSize = 512 } = {}) {
  const core = new Core();
  const backstore = new ArrayBackstore(core.environment.memory, EXTENT);
  const disk = new Disk(core.environment, backstore, {
    identity: { ...TEST_IDENTITY, serial: 'other', naa: OTHER_NAA },
    attributes: { ...DEFAULT_ATTRIBUTES, block_size: blockSize },
  });
  if (mapped) {
    core.lunMap.add(1, disk, writeProtected);
    core.initiator.nexus.unit(0)!.unitAttentions.clearAll();
  }
  for (let i = 0; i < EXTENT; i++) core.backstore.bytes[i] = (i >> 9) * 7 + i;
  return { core, initiator: core.initiator, own: core.backstore, other: { disk, backstore } };
}

/** CSCD descriptors of both disks. */
export const both = (blockLength = 512) => [cscd(), cscd({ naa: OTHER_NAA, blockLength })];
/** COMMAND-SPECIFIC INFORMATION of fixed format sense data. */
export const commandSpecific = ({ sense }: CommandResult) => u32(sense, 8);
