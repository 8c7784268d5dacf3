/**
 * Third-party Copy VPD page (SPC-4 7.8.17): descriptors with a type (2 bytes), the length of what follows (2), and
 * padded to a multiple of 4. It repeats what RECEIVE COPY OPERATING PARAMETERS tells, and lists the commands.
 */

import type { BlockDevice } from '../block-device.ts';
import { concatenate, putU16, putU32 } from '../bytes.ts';
import { offersCopies } from '../commands/extended-copy.ts';
import { CopyLimit, DESCRIPTOR_CODES, OWN_CSCD } from '../copy/copy-spec.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { VpdPage } from './vpd-page.ts';

const DescriptorType = {
  SUPPORTED_COMMANDS: 0x0001,
  PARAMETER_DATA: 0x0004,
  SUPPORTED_DESCRIPTORS: 0x0008,
  SUPPORTED_CSCD_IDS: 0x000c,
  GENERAL_COPY_OPERATIONS: 0x8001,
} as const;

const HEADER = 4;
const THIRD_PARTY_COPY_OUT = 0x83;
const THIRD_PARTY_COPY_IN = 0x84;

export const thirdPartyCopyPage: VpdPage = {
  code: 0x8f,
  name: 'Third-party Copy',
  supported: offersCopies,
  body: (task) =>
    concatenate([
      supportedCommands(task.logicalUnit),
      parameterData(),
      supportedDescriptors(),
      supportedCscdIds(),
      generalCopyOperations(task.logicalUnit as BlockDevice),
    ]),
};

function descriptor(type: number, contents: Uint8Array): Uint8Array {
  const length = Math.ceil(contents.length / 4) * 4;
  const bytes = new Uint8Array(HEADER + length);
  putU16(bytes, 0, type);
  putU16(bytes, 2, length);
  bytes.set(contents, HEADER);
  return bytes;
}

/** Per operation code: how many service actions, and which. */
function supportedCommands(unit: LogicalUnit): Uint8Array {
  const list = [THIRD_PARTY_COPY_OUT, THIRD_PARTY_COPY_IN].flatMap((opcode) => {
    const actions = unit.commands.rows
      .filter((row) => row.opcode === opcode && (row.supported?.(unit) ?? true))
      .map((row) => row.serviceAction!)
      .sort((a, b) => a - b);
    return [opcode, actions.length, ...actions];
  });
  return descriptor(DescriptorType.SUPPORTED_COMMANDS, Uint8Array.of(list.length, ...list));
}

function parameterData(): Uint8Array {
  const contents = new Uint8Array(28);
  putU16(contents, 4, CopyLimit.CSCDS);
  putU16(contents, 6, CopyLimit.SEGMENTS);
  putU32(contents, 8, CopyLimit.DESCRIPTOR_LIST);
  return descriptor(DescriptorType.PARAMETER_DATA, contents);
}

function supportedDescriptors(): Uint8Array {
  const contents = Uint8Array.of(DESCRIPTOR_CODES.length, ...DESCRIPTOR_CODES);
  return descriptor(DescriptorType.SUPPORTED_DESCRIPTORS, contents);
}

function supportedCscdIds(): Uint8Array {
  const contents = new Uint8Array(4);
  putU16(contents, 0, 2);
  putU16(contents, 2, OWN_CSCD);
  return descriptor(DescriptorType.SUPPORTED_CSCD_IDS, contents);
}

function generalCopyOperations(device: BlockDevice): Uint8Array {
  const contents = new Uint8Array(32);
  putU32(contents, 0, CopyLimit.CONCURRENT);
  putU32(contents, 4, CopyLimit.CONCURRENT);
  putU32(contents, 8, CopyLimit.SEGMENT);
  contents[12] = Math.log2(device.blockSize);
  return descriptor(DescriptorType.GENERAL_COPY_OPERATIONS, contents);
}
