/** Headers of the PDUs that a target sends (RFC 7143 section 11). Sequence numbers are filled in by the connection. */
import { BHS_LENGTH, Bhs, FINAL, NO_TAG } from './iscsi-spec.ts';

/** A header with opcode, F bit and task tag; the rest zero. */
export function header(opcode: number, taskTag: number, flags = FINAL): Buffer {
  const bytes = Buffer.alloc(BHS_LENGTH);
  bytes[Bhs.OPCODE] = opcode;
  bytes[Bhs.FLAGS] = flags;
  bytes.writeUInt32BE(taskTag >>> 0, Bhs.TASK_TAG);
  return bytes;
}

/** A header without a target transfer tag: the field reads FFFFFFFFh. */
export function headerWithoutTransfer(opcode: number, taskTag: number, flags = FINAL): Buffer {
  const bytes = header(opcode, taskTag, flags);
  bytes.writeUInt32BE(NO_TAG, Bhs.TRANSFER_TAG);
  return bytes;
}
