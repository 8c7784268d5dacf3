/** What the driver is told of a disk (ublk_params), and what it answers. */
import type { BlockGeometry } from '../loopback/block-geometry.ts';
import { Attribute, Parameters, ParameterType, SECTOR } from './ublk-spec.ts';

/** Bytes; longer requests come in parts, so that none takes for ever. */
const MAX_DISCARD = 2 ** 30;

const shift = (bytes: number) => Math.log2(bytes);

/** `view` holds zeroes. `maximumBytes` is what one request may carry. */
export function encodeParameters(view: DataView, geometry: BlockGeometry, maximumBytes: number): void {
  const { blockSize, physicalBlockSize, byteLength, readOnly, volatileCache } = geometry;
  // The kernel's flush and FUA become SYNCHRONIZE CACHE where the disk has no FUA of its own.
  const cache = volatileCache ? Attribute.VOLATILE_CACHE | Attribute.FUA : 0;
  const zeroes = readOnly ? 0 : MAX_DISCARD / SECTOR;
  const discard = geometry.unmap ? zeroes : 0;
  view.setUint32(Parameters.LENGTH, Parameters.SIZE, true);
  view.setUint32(Parameters.TYPES, ParameterType.BASIC | ParameterType.DISCARD, true);
  view.setUint32(Parameters.ATTRIBUTES, cache | (readOnly ? Attribute.READ_ONLY : 0), true);
  view.setUint8(Parameters.LOGICAL_BLOCK, shift(blockSize));
  for (const field of [Parameters.PHYSICAL_BLOCK, Parameters.IO_OPTIMAL, Parameters.IO_MINIMUM]) {
    view.setUint8(field, shift(physicalBlockSize));
  }
  view.setUint32(Parameters.MAX_SECTORS, maximumBytes / SECTOR, true);
  view.setBigUint64(Parameters.SECTORS, BigInt(byteLength / SECTOR), true);
  view.setUint32(Parameters.DISCARD_GRANULARITY, geometry.unmapGranularity || physicalBlockSize, true);
  view.setUint32(Parameters.MAX_DISCARD_SECTORS, discard, true);
  view.setUint32(Parameters.MAX_WRITE_ZEROES_SECTORS, zeroes, true);
  view.setUint16(Parameters.MAX_DISCARD_SEGMENTS, 1, true);
}

/** What must be the same when a device gets a new server: bytes per logical block, and bytes in all. */
export function decodeParameters(view: DataView): {
  readonly blockSize: number;
  readonly byteLength: number;
} {
  return {
    blockSize: 2 ** view.getUint8(Parameters.LOGICAL_BLOCK),
    byteLength: Number(view.getBigUint64(Parameters.SECTORS, true)) * SECTOR,
  };
}
