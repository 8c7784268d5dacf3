/**
 * CRC-32C (Castagnoli, RFC 7143 13.1) for header and data digests: by the processor's instruction, or eight bytes at
 * a time by table where there is none.
 */
import { hasCrc32c, crc32c as instruction } from '../../native/crc32c.ts';

const POLYNOMIAL = 0x82f6_3b78;
const TABLES = buildTables();

function buildTables(): Uint32Array {
  const tables = new Uint32Array(8 * 256);
  for (let i = 0; i < 256; i++) {
    let value = i;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) !== 0 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
    tables[i] = value;
  }
  for (let i = 0; i < 256; i++) {
    for (let t = 1; t < 8; t++) {
      const previous = tables[(t - 1) * 256 + i];
      tables[t * 256 + i] = (previous >>> 8) ^ tables[previous & 0xff];
    }
  }
  return tables;
}

/** CRC of bytes[start, end), continuing from `crc`. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, crc = 0): number {
  return hasCrc32c ? instruction(bytes, start, end - start, crc) : crc32cByTable(bytes, start, end, crc);
}

export function crc32cByTable(bytes: Uint8Array, start: number, end: number, crc: number): number {
  let value = ~crc;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    const low = value ^ (bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24));
    value =
      TABLES[7 * 256 + (low & 0xff)] ^
      TABLES[6 * 256 + ((low >>> 8) & 0xff)] ^
      TABLES[5 * 256 + ((low >>> 16) & 0xff)] ^
      TABLES[4 * 256 + (low >>> 24)] ^
      TABLES[3 * 256 + bytes[i + 4]] ^
      TABLES[2 * 256 + bytes[i + 5]] ^
      TABLES[256 + bytes[i + 6]] ^
      TABLES[bytes[i + 7]];
  }
  for (; i < end; i++) value = (value >>> 8) ^ TABLES[(value ^ bytes[i]) & 0xff];
  return ~value >>> 0;
}
