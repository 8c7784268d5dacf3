/**
 * Every limit of the block commands in one place: the Block Limits and Logical Block Provisioning VPD pages
 * report what the handlers check, because both read it here. Lengths are in logical blocks unless they say
 * bytes; 0 means "not reported" or "not offered" as in the pages.
 */
import type { BlockDevice } from './block-device.ts';

export interface BlockLimits {
  /** WSNZ: WRITE SAME refuses a NUMBER OF LOGICAL BLOCKS of 0. */
  readonly writeSameNonZero: boolean;
  readonly maximumCompareAndWriteLength: number;
  readonly optimalTransferLengthGranularity: number;
  readonly maximumTransferLength: number;
  readonly optimalTransferLength: number;
  readonly maximumPrefetchLength: number;
  readonly maximumUnmapLbaCount: number;
  readonly maximumUnmapBlockDescriptorCount: number;
  readonly optimalUnmapGranularity: number;
  /** With UGAVALID, when a granularity is reported. */
  readonly unmapGranularityAlignment: number;
  readonly maximumWriteSameLength: number;
  readonly maximumAtomicTransferLength: number;
  readonly atomicAlignment: number;
  readonly atomicTransferLengthGranularity: number;
  readonly maximumAtomicTransferLengthWithAtomicBoundary: number;
  readonly maximumAtomicBoundarySize: number;
}

/** What READ CAPACITY(16) and VPD B2 say about provisioning (SBC-3 4.7.3). */
export interface ProvisioningAbilities {
  /** LBPME: thin, some LBAs may be unmapped. */
  readonly managed: boolean;
  /** LBPRZ: unmapped LBAs read as zeroes. */
  readonly readsZero: boolean;
  /** LBPU. */
  readonly unmap: boolean;
  /** LBPWS and LBPWS10. */
  readonly writeSame: boolean;
  /** ANC_SUP: no backstore can anchor, so never. */
  readonly anchor: false;
}

/** Bytes of user data per command. Fabrics that collect data in buffers must have room for as much. */
export const MAXIMUM_TRANSFER = 32 << 20;
/** Bytes kept in the journal while an atomic write is under way; see atomic-journal.ts. */
const MAXIMUM_ATOMIC_TRANSFER = 1 << 20;
/** Blocks: the CDB's NUMBER OF LOGICAL BLOCKS is one byte. */
const MAXIMUM_COMPARE_AND_WRITE = 255;

export function provisioningAbilities(device: BlockDevice): ProvisioningAbilities {
  const { attributes } = device;
  const { capabilities } = device.backstore;
  const unmap = capabilities.unmap && attributes.emulate_tpu !== 0;
  const writeSame = capabilities.unmap && attributes.emulate_tpws !== 0;
  const managed = unmap || writeSame;
  const readsZero = managed && capabilities.unmapReadsZero && attributes.unmap_zeroes_data !== 0;
  return { managed, readsZero, unmap, writeSame, anchor: false };
}

export function blockLimits(device: BlockDevice): BlockLimits {
  const { attributes, blockSize } = device;
  const { capabilities } = device.backstore;
  const { unmap, managed } = provisioningAbilities(device);
  const maximumTransferLength = MAXIMUM_TRANSFER / blockSize;
  const atomic = offersAtomicWrites(device);
  return {
    writeSameNonZero: false,
    maximumCompareAndWriteLength: attributes.emulate_caw !== 0 ? MAXIMUM_COMPARE_AND_WRITE : 0,
    optimalTransferLengthGranularity: Math.max(1, capabilities.physicalBlockSize / blockSize),
    maximumTransferLength,
    // LIO's optimal_sectors is in logical blocks as well.
    optimalTransferLength: Math.min(attributes.optimal_sectors, maximumTransferLength),
    maximumPrefetchLength: 0,
    maximumUnmapLbaCount: unmap ? attributes.max_unmap_lba_count : 0,
    maximumUnmapBlockDescriptorCount: unmap ? attributes.max_unmap_block_desc_count : 0,
    optimalUnmapGranularity: managed
      ? Math.max(attributes.unmap_granularity, Math.floor(capabilities.unmapGranularity / blockSize), 1)
      : 0,
    unmapGranularityAlignment: managed ? attributes.unmap_granularity_alignment : 0,
    maximumWriteSameLength: attributes.max_write_same_len,
    maximumAtomicTransferLength: atomic ? MAXIMUM_ATOMIC_TRANSFER / blockSize : 0,
    atomicAlignment: atomic ? attributes.atomic_alignment : 0,
    atomicTransferLengthGranularity: atomic ? attributes.atomic_granularity : 0,
    maximumAtomicTransferLengthWithAtomicBoundary: 0,
    maximumAtomicBoundarySize: 0,
  };
}

/** The journal must survive what the blocks survive, and knows nothing of protection information. */
function offersAtomicWrites(device: BlockDevice): boolean {
  const journaled = device.store !== undefined || device.backstore.capabilities.volatile === true;
  return journaled && device.protection.type === 0;
}

/** DPOFUA of the mode parameter header: DPO and FUA are accepted in all commands or refused in all. */
export function acceptsDpoFua(device: BlockDevice): boolean {
  const { attributes } = device;
  return (
    attributes.emulate_dpo !== 0 && attributes.emulate_fua_write !== 0 && attributes.emulate_fua_read !== 0
  );
}
