/** Keys and TransportIDs as text: comparable with `===`, usable in a Map, and readable in the saved state. */

/** `length` bytes from `at`, two lower-case digits each. */
export function toHex(bytes: Uint8Array, at: number, length: number): string {
  let text = '';
  for (let i = at; i < at + length; i++) text += bytes[i].toString(16).padStart(2, '0');
  return text;
}

/** Writes the bytes of `text` at `at`; returns how many. */
export function putHex(bytes: Uint8Array, at: number, text: string): number {
  const length = text.length / 2;
  for (let i = 0; i < length; i++) bytes[at + i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return length;
}
