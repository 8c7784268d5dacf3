/** `key=value` text of login, text and SendTargets exchanges (RFC 7143 6.1). Bounded before decoding. */
import { IscsiProtocolError } from './protocol-error.ts';

/** Bytes of text in one negotiation, over all its PDUs. */
export const MAX_TEXT_LENGTH = 64 * 1024;
const MAX_KEY_LENGTH = 63;
const KEY = /^[A-Za-z][A-Za-z0-9.\-+@_#]*$/;

/** Keys in order of appearance. Throws IscsiProtocolError for what is no text, and for a key given twice. */
export function parseText(bytes: Uint8Array): Map<string, string> {
  if (bytes.length > MAX_TEXT_LENGTH)
    throw new IscsiProtocolError(`${bytes.length} bytes of text in one negotiation`);
  const pairs = new Map<string, string>();
  for (const line of Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').split('\0')) {
    if (line === '') continue;
    const equals = line.indexOf('=');
    const key = line.slice(0, equals);
    if (equals < 1 || key.length > MAX_KEY_LENGTH || !KEY.test(key)) {
      throw new IscsiProtocolError('text that is no key=value pair');
    }
    if (pairs.has(key)) throw new IscsiProtocolError(`key ${key} given twice`);
    pairs.set(key, line.slice(equals + 1));
  }
  return pairs;
}

/** A decimal or hexadecimal constant (RFC 7143 6.1); undefined when it is none, or not from `low` to `high`. */
export function parseNumber(text: string, low: number, high: number): number | undefined {
  const value = /^0[xX][0-9a-fA-F]+$|^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  return value >= low && value <= high ? value : undefined;
}

export function formatText(pairs: Iterable<readonly [string, string]>): Buffer {
  let text = '';
  for (const [key, value] of pairs) text += `${key}=${value}\0`;
  return Buffer.from(text, 'utf8');
}
