/** READ BUFFER (SPC-4 6.22). */
import { blockDeviceOf } from '../block-device-of.ts';
import { putU16, putU24, u24 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { DATA_BUFFER_CAPACITY, ECHO_BUFFER_CAPACITY } from '../device-buffer.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL } from './usage.ts';

const MODE = 0x1f;
/** MODE, of READ BUFFER and WRITE BUFFER alike where both have it. */
export const BufferMode = {
  DATA: 0x02,
  DESCRIPTOR: 0x03,
  ECHO: 0x0a,
  ECHO_DESCRIPTOR: 0x0b,
} as const;
/** Each initiator has an echo buffer of its own. */
const EBOS = 0x01;

function readBuffer(task: Task): void {
  const { cdb } = task;
  const { buffer } = blockDeviceOf(task);
  const id = cdb[2];
  const offset = u24(cdb, 3);
  const allocationLength = u24(cdb, 6);
  switch (cdb[1] & MODE) {
    case BufferMode.DATA:
      if (id !== 0) return task.failCdbField(2);
      if (offset > DATA_BUFFER_CAPACITY) return task.failCdbField(3);
      return task.respond(buffer.bytes.subarray(offset), allocationLength);
    case BufferMode.DESCRIPTOR: {
      // OFFSET BOUNDARY 0: any byte. A buffer that does not exist has no capacity.
      const descriptor = new Uint8Array(4);
      putU24(descriptor, 1, id === 0 ? DATA_BUFFER_CAPACITY : 0);
      return task.respond(descriptor, allocationLength);
    }
    case BufferMode.ECHO: {
      const echo = buffer.echo(task.itl!);
      if (echo === undefined) return task.fail(Sense.COMMAND_SEQUENCE_ERROR);
      return task.respond(echo, allocationLength);
    }
    case BufferMode.ECHO_DESCRIPTOR: {
      const descriptor = Uint8Array.of(EBOS, 0, 0, 0);
      putU16(descriptor, 2, ECHO_BUFFER_CAPACITY);
      return task.respond(descriptor, allocationLength);
    }
    default:
      return task.failCdbField(1, 4);
  }
}

export const readBufferCommands: readonly CommandRow[] = [
  {
    name: 'READ BUFFER(10)',
    opcode: 0x3c,
    cdbLength: 10,
    usage: [0x3c, MODE, 0xff, ...any(3), ...any(3), CONTROL],
    direction: 'in',
    reservation: 'read',
    alua: 'unavailable',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.22',
    handler: readBuffer,
  },
];
