/**
 * What stands before the pages in a mode parameter list (SPC-4 7.5.4 to 7.5.6, SBC-3 6.4.2, 6.4.3): a header of
 * 4 bytes (MODE SENSE(6)) or 8 bytes (MODE SENSE(10)), and a block descriptor of 8 bytes or, with long LBAs, 16.
 */
import type { BlockDevice } from '../block-device.ts';
import { putU16, putU24, putU32, putU64 } from '../bytes.ts';

export const HEADER_LENGTH_6 = 4;
export const HEADER_LENGTH_10 = 8;
export const SHORT_DESCRIPTOR_LENGTH = 8;
export const LONG_DESCRIPTOR_LENGTH = 16;
/** Byte 4 of the 8-byte header. */
export const LONGLBA = 0x01;
/** NUMBER OF LOGICAL BLOCKS of a short descriptor that cannot hold the number. */
export const TOO_MANY_BLOCKS = 0xffff_ffff;

export interface ModeParameterHeader {
  /** Bytes of the whole list, header included. */
  readonly listLength: number;
  readonly deviceSpecific: number;
  /** Bytes. */
  readonly descriptorLength: number;
}

export function putHeader6(list: Uint8Array, header: ModeParameterHeader): void {
  // MODE DATA LENGTH does not count itself.
  list[0] = header.listLength - 1;
  list[2] = header.deviceSpecific;
  list[3] = header.descriptorLength;
}

export function putHeader10(list: Uint8Array, header: ModeParameterHeader): void {
  putU16(list, 0, header.listLength - 2);
  list[3] = header.deviceSpecific;
  list[4] = header.descriptorLength === LONG_DESCRIPTOR_LENGTH ? LONGLBA : 0;
  putU16(list, 6, header.descriptorLength);
}

/** The device's block descriptor, of the length wanted: 0, 8 or 16. */
export function blockDescriptor(device: BlockDevice, length: number): Uint8Array {
  const descriptor = new Uint8Array(length);
  if (length === SHORT_DESCRIPTOR_LENGTH) {
    putU32(descriptor, 0, Math.min(device.blockCount, TOO_MANY_BLOCKS));
    putU24(descriptor, 5, device.blockSize);
  } else if (length === LONG_DESCRIPTOR_LENGTH) {
    putU64(descriptor, 0, device.blockCount);
    putU32(descriptor, 12, device.blockSize);
  }
  return descriptor;
}
