/** CRC-32C by the processor's instruction, where it has one. */
import { addon } from './addon.ts';

export const hasCrc32c = addon.hasCrc32c;

/** Of bytes[at, at+length), continuing from `crc`. */
export function crc32c(bytes: Uint8Array, at: number, length: number, crc: number): number {
  return addon.crc32c(bytes, at, length, crc);
}
