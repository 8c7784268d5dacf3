/** Big-endian fields of CDBs, parameter lists and pages. Offsets and widths in bytes. */

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

export function u24(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2];
}

export function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

/** A 48-bit field. */
export function u48(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 0x1_0000_0000 + u32(bytes, at + 2);
}

/**
 * A 64-bit field as a Number: exact below 2^53. Larger values lose low bits but stay larger than any capacity,
 * so a range check on the result is still right.
 */
export function u64(bytes: Uint8Array, at: number): number {
  return u32(bytes, at) * 0x1_0000_0000 + u32(bytes, at + 4);
}

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function putU24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function putU48(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, Math.floor(value / 0x1_0000_0000));
  putU32(bytes, at + 2, value % 0x1_0000_0000);
}

/** Writes an integer below 2^53 as a 64-bit field. */
export function putU64(bytes: Uint8Array, at: number, value: number): void {
  // The remainder of a division of floating-point numbers is a function call; this is on the way of every block request.
  const high = Math.floor(value / 0x1_0000_0000);
  putU32(bytes, at, high);
  putU32(bytes, at + 4, value - high * 0x1_0000_0000);
}

/** Writes `text` left-aligned, padded with spaces (SPC-4 4.3.1: ASCII data fields). */
export function putAscii(bytes: Uint8Array, at: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 0x20;
    bytes[at + i] = code >= 0x20 && code <= 0x7e ? code : 0x3f;
  }
}

/** One array of all parts in order; absent parts are left out. */
export function concatenate(parts: readonly (Uint8Array | undefined)[]): Uint8Array {
  const present = parts.filter((part) => part !== undefined);
  const whole = new Uint8Array(present.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of present) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Two lower-case digits per byte, for what is kept as text. */
export function toHex(bytes: Uint8Array): string {
  const digits: string[] = [];
  for (const byte of bytes) digits.push(byte.toString(16).padStart(2, '0'));
  return digits.join('');
}

/** The bytes that `toHex` wrote. */
export function fromHex(text: string): Uint8Array {
  const byteAt = (i: number) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => byteAt(i));
}
