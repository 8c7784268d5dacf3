/** What SET_CONFIG may change of a device's configuration space, whatever the device. */
import type { ConfigAccess } from './message.ts';
import { ProtocolError } from './protocol-error.ts';
import { ConfigMessage } from './vhost-user-spec.ts';

/** Bytes `from` to `end`, which is not part of it. */
export interface ByteRange {
  readonly from: number;
  readonly end: number;
}

/**
 * The bytes of `space` after the access. Front-ends that know nothing of the device write all of it to change a part, so
 * read-only bytes may be written with what they hold already; at the end of a migration with anything, which is ignored.
 * Throws ProtocolError.
 */
export function writtenConfig(space: Uint8Array, access: ConfigAccess, writable: ByteRange): Uint8Array {
  const { offset, size, data, flags } = access;
  if (offset + size > space.length) {
    throw new ProtocolError(`configuration bytes ${offset}+${size}, there are ${space.length}`);
  }
  const written = space.slice();
  for (let i = 0; i < size; i++) {
    const at = offset + i;
    if (at >= writable.from && at < writable.end) written[at] = data[i];
    else if (data[i] !== space[at] && flags !== ConfigMessage.MIGRATION) {
      throw new ProtocolError(`configuration bytes ${offset}+${size} are read-only at ${at}`);
    }
  }
  return written;
}
