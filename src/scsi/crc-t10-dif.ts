/** The CRC of the LOGICAL BLOCK GUARD field (SBC-3 4.22.4): polynomial 8BB7h, initial value 0, not reflected. */

const POLYNOMIAL = 0x8bb7;

const table = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ POLYNOMIAL;
  return crc;
});

/** CRC of `length` bytes of `bytes` from `at`. */
export function crcT10Dif(bytes: Uint8Array, at: number, length: number): number {
  let crc = 0;
  for (let i = at; i < at + length; i++) crc = ((crc << 8) & 0xffff) ^ table[(crc >> 8) ^ bytes[i]];
  return crc;
}
