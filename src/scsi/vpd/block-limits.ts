/** Block Limits VPD page (SBC-3 6.6.4, with the atomic limits of SBC-4): what ../block-limits.ts makes true. */
import { blockDeviceOf } from '../block-device-of.ts';
import { putU16, putU32, putU64 } from '../bytes.ts';
import type { VpdPage } from './vpd-page.ts';

/** SBC-3's page length; the atomic fields of SBC-4 lie inside it. */
const LENGTH = 0x3c;
const WSNZ = 0x01;
/** In the most significant bit of UNMAP GRANULARITY ALIGNMENT. */
const UGAVALID = 0x8000_0000;

export const blockLimitsPage: VpdPage = {
  code: 0xb0,
  name: 'Block Limits',
  body: (task) => {
    const { limits } = blockDeviceOf(task);
    const page = new Uint8Array(4 + LENGTH);
    page[4] = limits.writeSameNonZero ? WSNZ : 0;
    page[5] = limits.maximumCompareAndWriteLength;
    putU16(page, 6, limits.optimalTransferLengthGranularity);
    putU32(page, 8, limits.maximumTransferLength);
    putU32(page, 12, limits.optimalTransferLength);
    putU32(page, 16, limits.maximumPrefetchLength);
    putU32(page, 20, limits.maximumUnmapLbaCount);
    putU32(page, 24, limits.maximumUnmapBlockDescriptorCount);
    putU32(page, 28, limits.optimalUnmapGranularity);
    if (limits.optimalUnmapGranularity > 0) putU32(page, 32, UGAVALID + limits.unmapGranularityAlignment);
    putU64(page, 36, limits.maximumWriteSameLength);
    putU32(page, 44, limits.maximumAtomicTransferLength);
    putU32(page, 48, limits.atomicAlignment);
    putU32(page, 52, limits.atomicTransferLengthGranularity);
    putU32(page, 56, limits.maximumAtomicTransferLengthWithAtomicBoundary);
    putU32(page, 60, limits.maximumAtomicBoundarySize);
    // Offsets above are those of the standard's table, which counts the header that inquiry.ts adds.
    return page.subarray(4);
  },
};
