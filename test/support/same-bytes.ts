/** Compares long arrays: ava's deepEqual takes a second per megabyte. */
import { Buffer } from 'node:buffer';

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
