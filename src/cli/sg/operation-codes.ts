/** REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS (SPC-4 6.35, 6.36); LUN lists; capacity. */
import { blockDeviceCommands } from '../../scsi/block-device-commands.ts';
import { u16, u32, u64 } from '../../scsi/bytes.ts';
import { decodeLun } from '../../scsi/lun-field.ts';
import { bits, code, type Decoded, decodeFields } from './decoded.ts';

const DESCRIPTOR = 8;
const CTDP = 0x02;
const SERVACTV = 0x01;
const TIMEOUTS = { LENGTH: 12, NOMINAL: 4, RECOMMENDED: 8 } as const;

export function decodeOperationCodes(data: Uint8Array): Decoded {
  const commands: Decoded[] = [];
  const end = Math.min(data.length, 4 + u32(data, 0));
  let at = 4;
  while (at + DESCRIPTOR <= end) {
    const hasTimeouts = (data[at + 5] & CTDP) !== 0;
    commands.push(decodeCommand(data, at, hasTimeouts));
    at += DESCRIPTOR + (hasTimeouts ? TIMEOUTS.LENGTH : 0);
  }
  return { commands };
}

function decodeCommand(data: Uint8Array, at: number, hasTimeouts: boolean): Decoded {
  const hasServiceAction = (data[at + 5] & SERVACTV) !== 0;
  const serviceAction = u16(data, at + 2);
  return {
    opcode: code(data[at]),
    service_action: hasServiceAction ? code(serviceAction) : '',
    cdb_length: u16(data, at + 6),
    ...(hasTimeouts
      ? {
          nominal_timeout: u32(data, at + DESCRIPTOR + TIMEOUTS.NOMINAL),
          recommended_timeout: u32(data, at + DESCRIPTOR + TIMEOUTS.RECOMMENDED),
        }
      : {}),
    name: blockDeviceCommands.find(data[at], serviceAction)?.name ?? '',
  };
}

const FUNCTIONS = [
  bits('abort_task', 0, 7),
  bits('abort_task_set', 0, 6),
  bits('clear_aca', 0, 5),
  bits('clear_task_set', 0, 4),
  bits('logical_unit_reset', 0, 3),
  bits('query_task', 0, 2),
  bits('query_asynchronous_event', 1, 2),
  bits('query_task_set', 1, 1),
  bits('i_t_nexus_reset', 1, 0),
];

export function decodeTaskManagement(data: Uint8Array): Decoded {
  return { functions: decodeFields(data, FUNCTIONS) };
}

/** REPORT LUNS (SPC-4 6.33). */
export function decodeLuns(data: Uint8Array): Decoded {
  const luns: Decoded[] = [];
  for (let at = 8; at + 8 <= Math.min(data.length, 8 + u32(data, 0)); at += 8) {
    luns.push({ lun: decodeLun(data, at), bytes: Buffer.from(data.subarray(at, at + 8)).toString('hex') });
  }
  return { luns };
}

const CAPACITY = [
  bits('p_type', 12, 1, 3),
  bits('prot_en', 12, 0),
  bits('p_i_exponent', 13, 4, 4),
  bits('logical_blocks_per_physical_block_exponent', 13, 0, 4),
  bits('lbpme', 14, 7),
  bits('lbprz', 14, 6),
];

/** READ CAPACITY(16) (SBC-3 5.16). */
export function decodeCapacity(data: Uint8Array): Decoded {
  const last = u64(data, 0);
  const blockLength = u32(data, 8);
  return {
    last_lba: last,
    block_length: blockLength,
    ...decodeFields(data, CAPACITY),
    lowest_aligned_lba: u16(data, 14) & 0x3fff,
    bytes: (last + 1) * blockLength,
  };
}
