/** GET LBA STATUS (16) (SBC-3 5.4). */
import { blockDeviceOf } from '../block-device-of.ts';
import { putU32, putU64, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { asyncHandler } from '../device-server.ts';
import { provisioningExtents } from '../provisioning.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

/*
 * Parameter data (SBC-3 table 44): 0 PARAMETER DATA LENGTH (4), 4 reserved (4), 8 descriptors of 16 bytes:
 * LOGICAL BLOCK ADDRESS (8), NUMBER OF LOGICAL BLOCKS (4), PROVISIONING STATUS (1), reserved (3).
 */
const HEADER_LENGTH = 8;
const DESCRIPTOR_LENGTH = 16;
/** Each may cost the backstore a system call. */
const MAXIMUM_DESCRIPTORS = 64;
const MAXIMUM_BLOCKS = 0xffff_ffff;

async function getLbaStatus(task: Task): Promise<void> {
  const device = blockDeviceOf(task);
  const lba = u64(task.cdb, 2);
  const allocationLength = u32(task.cdb, 10);
  if (lba >= device.blockCount) {
    return task.fail(Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE, { field: { inCdb: true, byte: 2 } });
  }
  const room = Math.floor((allocationLength - HEADER_LENGTH) / DESCRIPTOR_LENGTH);
  // One descriptor at least, and as many as fit; there is no need to report on the whole medium.
  const limit = Math.min(MAXIMUM_DESCRIPTORS, Math.max(1, room));
  const data = new Uint8Array(HEADER_LENGTH + limit * DESCRIPTOR_LENGTH);
  let at = HEADER_LENGTH;
  for await (const extent of provisioningExtents(device, lba)) {
    putU64(data, at, extent.lba);
    putU32(data, at + 8, Math.min(extent.blocks, MAXIMUM_BLOCKS));
    data[at + 12] = extent.status;
    at += DESCRIPTOR_LENGTH;
    if (at === data.length || extent.blocks > MAXIMUM_BLOCKS) break;
  }
  putU32(data, 0, at - 4);
  task.respond(data, allocationLength, at);
}

export const getLbaStatusCommands: readonly CommandRow[] = [
  {
    name: 'GET LBA STATUS(16)',
    opcode: 0x9e,
    serviceAction: 0x12,
    cdbLength: 16,
    usage: [0x9e, 0x12, ...any(8), ...any(4), 0, CONTROL],
    direction: 'in',
    reservation: 'read',
    alua: 'active',
    unitAttention: 'report',
    needsReady: true,
    writes: false,
    timeout: 30,
    standard: 'SBC-3 5.4',
    handler: asyncHandler(getLbaStatus),
  },
];
