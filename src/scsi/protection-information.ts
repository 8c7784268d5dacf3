/**
 * Protection information (SBC-3 4.22): the eight bytes beside each logical block, who checks which of them, and
 * what the device server makes up when an initiator sends none.
 *
 *   0  LOGICAL BLOCK GUARD (2)   2  LOGICAL BLOCK APPLICATION TAG (2)   4  LOGICAL BLOCK REFERENCE TAG (4)
 */
import { putU16, putU32, u16, u32 } from './bytes.ts';
import { crcT10Dif } from './crc-t10-dif.ts';
import type { Verdict } from './medium.ts';
import { Sense, type SenseCode } from './sense-spec.ts';

/** Bytes of protection information per logical block; the protection interval is one block (P_I_EXPONENT 0). */
export const PI_LENGTH = 8;

/** 0: none. 1: the reference tag is the LBA. 2: it counts from a value in the CDB. 3: it is the application's. */
export type ProtectionType = 0 | 1 | 2 | 3;

/** An application tag (type 3: with a reference tag of all ones) that turns all checks of its block off. */
const ESCAPE_TAG = 0xffff;
const ESCAPE_REFERENCE = 0xffff_ffff;

/** Which fields are checked. */
export interface ProtectionChecks {
  readonly guard: boolean;
  readonly applicationTag: boolean;
  readonly referenceTag: boolean;
}

/** What the tags ought to be; undefined where the device server cannot know. */
export interface ExpectedTags {
  /** Of the first block; the following ones count up. */
  readonly referenceTag: number | undefined;
  readonly applicationTag: number;
  /** Bits of the application tag that are compared. */
  readonly applicationTagMask: number;
}

/** Blocks in memory, with their protection information in a buffer of its own. */
export interface ProtectedBlocks {
  readonly data: Uint8Array;
  readonly tuples: Uint8Array;
  readonly blockSize: number;
}

const ALL: ProtectionChecks = { guard: true, applicationTag: true, referenceTag: true };
const NONE: ProtectionChecks = { guard: false, applicationTag: false, referenceTag: false };

/** By RDPROTECT, WRPROTECT, VRPROTECT, ORPROTECT (SBC-3 tables 74, 116, 111, 60). 110b and 111b are reserved. */
const CHECKS: readonly (ProtectionChecks | undefined)[] = [
  ALL,
  ALL,
  { guard: false, applicationTag: true, referenceTag: true },
  NONE,
  { guard: true, applicationTag: false, referenceTag: false },
  ALL,
];

/** The checks that a protect field asks for; undefined when its value is reserved. */
export function checksOf(protect: number): ProtectionChecks | undefined {
  return CHECKS[protect];
}

/** Tags of a command that says nothing about them. */
export function defaultTags(type: ProtectionType, lba: number): ExpectedTags {
  return {
    referenceTag: type === 1 ? lba % 0x1_0000_0000 : undefined,
    applicationTag: 0,
    applicationTagMask: 0,
  };
}

/**
 * Checks `count` blocks, of which the first is block `index` of the command and `lba` on the medium. `mayEscape`:
 * blocks that came from the medium with the escape tag are not checked (SBC-3 4.22.2).
 */
export function checkProtection(
  blocks: ProtectedBlocks,
  count: number,
  lba: number,
  index: number,
  type: ProtectionType,
  checks: ProtectionChecks,
  expected: ExpectedTags,
  mayEscape: boolean,
): Verdict | undefined {
  for (let i = 0; i < count; i++) {
    if (mayEscape && escapes(blocks.tuples, i * PI_LENGTH, type)) continue;
    const code = wrongField(blocks, i, index, checks, expected);
    if (code !== undefined) return { code, detail: { information: lba + i } };
  }
  return undefined;
}

function escapes(tuples: Uint8Array, at: number, type: ProtectionType): boolean {
  if (u16(tuples, at + 2) !== ESCAPE_TAG) return false;
  return type !== 3 || u32(tuples, at + 4) === ESCAPE_REFERENCE;
}

/** The first field of block `i` of the buffer that is wrong. */
function wrongField(
  { data, tuples, blockSize }: ProtectedBlocks,
  i: number,
  index: number,
  checks: ProtectionChecks,
  { referenceTag, applicationTag, applicationTagMask: mask }: ExpectedTags,
): SenseCode | undefined {
  const at = i * PI_LENGTH;
  if (checks.guard && u16(tuples, at) !== crcT10Dif(data, i * blockSize, blockSize)) {
    return Sense.LOGICAL_BLOCK_GUARD_CHECK_FAILED;
  }
  if (checks.applicationTag && (u16(tuples, at + 2) & mask) !== (applicationTag & mask)) {
    return Sense.LOGICAL_BLOCK_APPLICATION_TAG_CHECK_FAILED;
  }
  if (
    checks.referenceTag &&
    referenceTag !== undefined &&
    u32(tuples, at + 4) !== tagAfter(referenceTag, index + i)
  ) {
    return Sense.LOGICAL_BLOCK_REFERENCE_TAG_CHECK_FAILED;
  }
  return undefined;
}

function tagAfter(first: number, count: number): number {
  return (first + count) % 0x1_0000_0000;
}

/**
 * Protection information for blocks that came without (SBC-3 4.22.3: WRPROTECT 000b). The application tag is 0
 * and not the escape tag, so that the guard is looked at whenever the block is read.
 */
export function generateProtection(
  { data, tuples, blockSize }: ProtectedBlocks,
  count: number,
  lba: number,
  type: ProtectionType,
): void {
  for (let i = 0; i < count; i++) {
    const at = i * PI_LENGTH;
    putU16(tuples, at, crcT10Dif(data, i * blockSize, blockSize));
    putU16(tuples, at + 2, 0);
    putU32(tuples, at + 4, type === 1 ? tagAfter(lba, i) : ESCAPE_REFERENCE);
  }
}

/** Whether one block's protection information is all ones. */
export function isUnchecked(tuple: Uint8Array): boolean {
  return tuple.every((byte) => byte === 0xff);
}

/** Copies one block's protection information to `count` blocks; types 1 and 2 count the reference tag up. */
export function repeatProtection(
  tuple: Uint8Array,
  tuples: Uint8Array,
  count: number,
  index: number,
  type: ProtectionType,
): void {
  // All ones mean "do not check" and stay so in every block (SBC-4 5.56).
  const counts = type !== 3 && !isUnchecked(tuple);
  const reference = u32(tuple, 4);
  for (let i = 0; i < count; i++) {
    tuples.set(tuple, i * PI_LENGTH);
    if (counts) putU32(tuples, i * PI_LENGTH + 4, tagAfter(reference, index + i));
  }
}
