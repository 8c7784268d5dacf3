/**
 * Headers of the PDUs that a target sends (RFC 7143 section 11). Sequence numbers are filled in by the connection.
 * There is one header at a time: it must be sent before the next one is begun.
 */
import { BHS_LENGTH, Bhs, FINAL, NO_TAG } from './iscsi-spec.ts';

const staged = Buffer.alloc(BHS_LENGTH);

/** A header with opcode, F bit and task tag; the rest zero. */
export function header(opcode: number, taskTag: number, flags = FINAL): Buffer {
  staged.fill(0);
  staged[Bhs.OPCODE] = opcode;
  staged[Bhs.FLAGS] = flags;
  staged.writeInt32BE(taskTag | 0, Bhs.TASK_TAG);
  return staged;
}

/** A header without a target transfer tag: the field reads FFFFFFFFh. */
export function headerWithoutTransfer(opcode: number, taskTag: number, flags = FINAL): Buffer {
  const bytes = header(opcode, taskTag, flags);
  bytes.writeInt32BE(NO_TAG | 0, Bhs.TRANSFER_TAG);
  return bytes;
}
