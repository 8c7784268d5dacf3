/** Protection information as an initiator builds it, from its definition and not from the core's table. */
import { putU16, putU32 } from '../../src/scsi/bytes.ts';

/** CRC-16 of SBC-3 4.22.4, bit by bit. */
export function guardOf(block: Uint8Array): number {
  let crc = 0;
  for (const byte of block) {
    for (let bit = 7; bit >= 0; bit--) {
      const feedback = ((crc >> 15) ^ (byte >> bit)) & 1;
      crc = ((crc << 1) & 0xffff) ^ (feedback === 0 ? 0 : 0x8bb7);
    }
  }
  return crc;
}

export interface Tags {
  readonly guard?: number;
  readonly application?: number;
  /** Of the first block; the others count up. */
  readonly reference: number;
}

/** Blocks of 512 bytes, each followed by its protection information. */
export function interleave(data: Uint8Array, tags: Tags): Uint8Array {
  const blocks = data.length / 512;
  const out = new Uint8Array(blocks * 520);
  for (let i = 0; i < blocks; i++) {
    const block = data.subarray(i * 512, (i + 1) * 512);
    out.set(block, i * 520);
    putU16(out, i * 520 + 512, tags.guard ?? guardOf(block));
    putU16(out, i * 520 + 514, tags.application ?? 0);
    putU32(out, i * 520 + 516, (tags.reference + i) % 0x1_0000_0000);
  }
  return out;
}
