/** Which logical blocks are mapped (SBC-3 4.7.4), from what the backstore knows about its bytes. */
import type { BlockDevice } from './block-device.ts';
import { provisioningAbilities } from './block-limits.ts';

/** PROVISIONING STATUS (SBC-3 table 46). No backstore anchors. */
const ProvisioningStatus = { MAPPED: 0, DEALLOCATED: 1 } as const;

/** A run of blocks of one status. */
export interface ProvisioningExtent {
  readonly lba: number;
  readonly blocks: number;
  readonly status: number;
}

/** The runs from `lba` to the end of the medium; neighbours differ in status. Ask for no more than you use. */
export async function* provisioningExtents(
  device: BlockDevice,
  lba: number,
): AsyncIterable<ProvisioningExtent> {
  let start = lba;
  while (start < device.blockCount) {
    const { status } = await statusAt(device, start);
    let end = start;
    for (;;) {
      const next = await statusAt(device, end);
      if (next.status !== status) break;
      end = next.end;
      if (end >= device.blockCount) break;
    }
    yield { lba: start, blocks: end - start, status };
    start = end;
  }
}

/** The status of block `lba`, and the block (exclusive) up to which it surely holds. */
async function statusAt(device: BlockDevice, lba: number): Promise<{ status: number; end: number }> {
  const { backstore, blockSize, blockCount } = device;
  if (backstore.extent === undefined || !provisioningAbilities(device).managed) {
    return { status: ProvisioningStatus.MAPPED, end: blockCount };
  }
  const { mapped, end } = await backstore.extent(lba * blockSize);
  if (!mapped && end >= (lba + 1) * blockSize) {
    return { status: ProvisioningStatus.DEALLOCATED, end: Math.min(blockCount, Math.floor(end / blockSize)) };
  }
  // A block of which any byte is mapped is mapped.
  const last = mapped ? Math.ceil(end / blockSize) : lba + 1;
  return { status: ProvisioningStatus.MAPPED, end: Math.min(blockCount, Math.max(last, lba + 1)) };
}
