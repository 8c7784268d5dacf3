/** READ CAPACITY (10) and (16) (SBC-3 5.15, 5.16). */
import { blockDeviceOf } from '../block-device-of.ts';
import { provisioningAbilities } from '../block-limits.ts';
import { putU32, putU64, u32 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Task } from '../task.ts';
import { any, CONTROL, reserved } from './usage.ts';

const CAPACITY_10_LENGTH = 8;
const CAPACITY_16_LENGTH = 32;
const P_TYPE_SHIFT = 1;
const PROT_EN = 0x01;
const LBPME = 0x80;
const LBPRZ = 0x40;

function readCapacity10(task: Task): void {
  const device = blockDeviceOf(task);
  const data = new Uint8Array(CAPACITY_10_LENGTH);
  // FFFFFFFFh sends the initiator to READ CAPACITY(16).
  putU32(data, 0, Math.min(device.blockCount - 1, 0xffff_ffff));
  putU32(data, 4, device.blockSize);
  task.respond(data, data.length);
}

function readCapacity16(task: Task): void {
  const device = blockDeviceOf(task);
  const { protection } = device;
  const { managed, readsZero } = provisioningAbilities(device);
  const data = new Uint8Array(CAPACITY_16_LENGTH);
  putU64(data, 0, device.blockCount - 1);
  putU32(data, 8, device.blockSize);
  // P_I_EXPONENT is 0: one protection interval per logical block.
  if (protection.type !== 0) data[12] = ((protection.type - 1) << P_TYPE_SHIFT) | PROT_EN;
  data[13] = Math.log2(device.limits.optimalTransferLengthGranularity);
  data[14] = (managed ? LBPME : 0) | (readsZero ? LBPRZ : 0);
  task.respond(data, u32(task.cdb, 10));
}

const common = {
  direction: 'in',
  reservation: 'allowed',
  alua: 'standby',
  unitAttention: 'report',
  needsReady: true,
  writes: false,
  timeout: 10,
} as const;

export const readCapacityCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'READ CAPACITY(10)',
    opcode: 0x25,
    cdbLength: 10,
    // The LBA and PMI of SBC-2 are obsolete.
    usage: [0x25, ...reserved(8), CONTROL],
    standard: 'SBC-3 5.15',
    handler: readCapacity10,
  },
  {
    ...common,
    name: 'READ CAPACITY(16)',
    opcode: 0x9e,
    serviceAction: 0x10,
    cdbLength: 16,
    usage: [0x9e, 0x10, ...reserved(8), ...any(4), 0, CONTROL],
    standard: 'SBC-3 5.16',
    handler: readCapacity16,
  },
];
