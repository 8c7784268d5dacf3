/**
 * REPORT REFERRALS (SBC-3 5.19): which target port groups lead to which blocks. Here a state holds for the whole unit,
 * so there is one user data segment.
 */
import { PORT_DESCRIPTOR_LENGTH } from '../alua-spec.ts';
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { putU16, putU64, u32, u64 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

/*
 * Parameter data (SBC-3 table 89): 0 reserved (2), 2 length of the descriptors (2), 4 user data segment referral
 * descriptors: 3 NUMBER OF TARGET PORT GROUP DESCRIPTORS (1), 4 FIRST USER DATA SEGMENT LBA (8), 12 LAST USER DATA
 * SEGMENT LBA (8), 20 for each group: ASYMMETRIC ACCESS STATE (1), reserved (1), TARGET PORT GROUP (2).
 */
const HEADER_LENGTH = 4;
const SEGMENT_LENGTH = 20;
const GROUP_LENGTH = PORT_DESCRIPTOR_LENGTH;
/** ONE_SEG: one segment is all there is. */
const ONE_SEGMENT = 0x01;

function reportReferrals(task: Task): void {
  const { alua, blockCount } = blockDeviceOf(task);
  if (u64(task.cdb, 2) >= blockCount) {
    return task.fail(Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE, { field: { inCdb: true, byte: 2 } });
  }
  const groups = alua.groups.filter((group) => alua.portsOf(group).length > 0);
  const data = new Uint8Array(HEADER_LENGTH + SEGMENT_LENGTH + groups.length * GROUP_LENGTH);
  putU16(data, 2, data.length - HEADER_LENGTH);
  data[HEADER_LENGTH + 3] = groups.length;
  putU64(data, HEADER_LENGTH + 12, blockCount - 1);
  for (const [i, group] of groups.entries()) {
    const at = HEADER_LENGTH + SEGMENT_LENGTH + i * GROUP_LENGTH;
    data[at] = alua.reportedState(group);
    putU16(data, at + 2, group.id);
  }
  task.respond(data, u32(task.cdb, 10));
}

export const reportReferralsCommands: readonly CommandRow[] = [
  {
    name: 'REPORT REFERRALS',
    opcode: 0x9e,
    serviceAction: 0x13,
    cdbLength: 16,
    usage: [0x9e, 0x13, ...any(8), ...any(4), ONE_SEGMENT, CONTROL],
    direction: 'in',
    reservation: 'allowed',
    alua: 'any',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SBC-3 5.19',
    supported: (unit) => (unit as BlockDevice).attributes.alua_support !== 0,
    handler: reportReferrals,
  },
];
