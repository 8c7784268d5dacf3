/**
 * Third-party Copy VPD page (SPC-4 7.8.17): descriptors with a type (2 bytes), the length of what follows (2), and
 * padded to a multiple of 4. It repeats what RECEIVE COPY OPERATING PARAMETERS tells, and lists the commands.
 */

import type { BlockDevice } from '../block-device.ts';
import { concatenate, putU16, putU32, putU64 } from '../bytes.ts';
import { offersCopies } from '../commands/extended-copy.ts';
import { CopyLimit, DESCRIPTOR_CODES, OWN_CSCD } from '../copy/copy-spec.ts';
import { RodType, TokenLimit } from '../copy/rod-token-spec.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { VpdPage } from './vpd-page.ts';

const DescriptorType = {
  BLOCK_DEVICE_ROD_LIMITS: 0x0000,
  SUPPORTED_COMMANDS: 0x0001,
  PARAMETER_DATA: 0x0004,
  SUPPORTED_DESCRIPTORS: 0x0008,
  SUPPORTED_CSCD_IDS: 0x000c,
  ROD_TOKEN_FEATURES: 0x0106,
  SUPPORTED_ROD_TYPES: 0x0108,
  GENERAL_COPY_OPERATIONS: 0x8001,
} as const;

const HEADER = 4;
const BLOCK_FEATURES_LENGTH = 48;
const ROD_TYPE_LENGTH = 64;
const TOKEN_OUT = 0x01;
const TOKEN_IN = 0x02;
const THIRD_PARTY_COPY_OUT = 0x83;
const THIRD_PARTY_COPY_IN = 0x84;

export const thirdPartyCopyPage: VpdPage = {
  code: 0x8f,
  name: 'Third-party Copy',
  supported: offersCopies,
  body: (task) =>
    concatenate([
      blockDeviceRodLimits(task.logicalUnit as BlockDevice),
      supportedCommands(task.logicalUnit),
      parameterData(),
      supportedDescriptors(),
      supportedCscdIds(),
      rodTokenFeatures(),
      supportedRodTypes(),
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

/** SBC-4 6.6.9.3; sizes in logical blocks, times in seconds. */
function blockDeviceRodLimits({ blockSize }: BlockDevice): Uint8Array {
  const contents = new Uint8Array(32);
  putU16(contents, 6, TokenLimit.RANGES);
  putU32(contents, 8, TokenLimit.MAXIMUM_TIMEOUT);
  putU32(contents, 12, TokenLimit.DEFAULT_TIMEOUT);
  putU64(contents, 16, TokenLimit.BYTES / blockSize);
  putU64(contents, 24, TokenLimit.OPTIMAL_BYTES / blockSize);
  return descriptor(DescriptorType.BLOCK_DEVICE_ROD_LIMITS, contents);
}

/** REMOTE TOKENS stays 0: a token means something to the units of its own target only (SPC-4 7.8.17.8). */
function rodTokenFeatures(): Uint8Array {
  const contents = new Uint8Array(44 + BLOCK_FEATURES_LENGTH);
  putU32(contents, 20, TokenLimit.MAXIMUM_TIMEOUT);
  putU32(contents, 24, TokenLimit.MAXIMUM_TIMEOUT);
  putU16(contents, 42, BLOCK_FEATURES_LENGTH);
  const features = contents.subarray(44);
  // DESCRIPTOR FORMAT 000b, for direct access block devices.
  putU16(features, 2, BLOCK_FEATURES_LENGTH - 4);
  putU64(features, 8, TokenLimit.BYTES);
  for (const optimal of [16, 24, 32]) putU64(features, optimal, TokenLimit.OPTIMAL_BYTES);
  return descriptor(DescriptorType.ROD_TOKEN_FEATURES, contents);
}

/** What tokens can be made (TOKEN_OUT) and used (TOKEN_IN). */
const ROD_TYPES = [
  { type: RodType.POINT_IN_TIME_DEFAULT, use: TOKEN_IN | TOKEN_OUT },
  { type: RodType.POINT_IN_TIME_CHANGE_VULNERABLE, use: TOKEN_IN | TOKEN_OUT },
  { type: RodType.ZERO, use: TOKEN_IN },
] as const;

function supportedRodTypes(): Uint8Array {
  const contents = new Uint8Array(4 + ROD_TYPES.length * ROD_TYPE_LENGTH);
  putU16(contents, 2, ROD_TYPES.length * ROD_TYPE_LENGTH);
  for (const [i, { type, use }] of ROD_TYPES.entries()) {
    putU32(contents, 4 + i * ROD_TYPE_LENGTH, type);
    contents[8 + i * ROD_TYPE_LENGTH] = use;
  }
  return descriptor(DescriptorType.SUPPORTED_ROD_TYPES, contents);
}

function generalCopyOperations(device: BlockDevice): Uint8Array {
  const contents = new Uint8Array(32);
  putU32(contents, 0, CopyLimit.CONCURRENT);
  putU32(contents, 4, CopyLimit.CONCURRENT);
  putU32(contents, 8, CopyLimit.SEGMENT);
  contents[12] = Math.log2(device.blockSize);
  return descriptor(DescriptorType.GENERAL_COPY_OPERATIONS, contents);
}
