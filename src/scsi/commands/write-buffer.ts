/** WRITE BUFFER (SPC-4 6.49): no microcode can be sent, so only data and echo modes exist. */
import { blockDeviceOf } from '../block-device-of.ts';
import { u24 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { DATA_BUFFER_CAPACITY, ECHO_BUFFER_CAPACITY } from '../device-buffer.ts';
import type { Task } from '../task.ts';
import { BufferMode } from './read-buffer.ts';
import { any, CONTROL } from './usage.ts';

const MODE = 0x1f;

function writeBuffer(task: Task): void {
  const { cdb } = task;
  const { buffer } = blockDeviceOf(task);
  const offset = u24(cdb, 3);
  const length = u24(cdb, 6);
  switch (cdb[1] & MODE) {
    case BufferMode.DATA: {
      if (cdb[2] !== 0) return task.failCdbField(2);
      if (offset > DATA_BUFFER_CAPACITY) return task.failCdbField(3);
      if (offset + length > DATA_BUFFER_CAPACITY) return task.failCdbField(6);
      const list = task.parameterList(length);
      if (list === undefined) return;
      buffer.bytes.set(list, offset);
      return task.good();
    }
    case BufferMode.ECHO: {
      if (length > ECHO_BUFFER_CAPACITY) return task.failCdbField(6);
      const list = task.parameterList(length);
      if (list === undefined) return;
      buffer.setEcho(task.itl!, list);
      return task.good();
    }
    default:
      return task.failCdbField(1, 4);
  }
}

export const writeBufferCommands: readonly CommandRow[] = [
  {
    name: 'WRITE BUFFER',
    opcode: 0x3b,
    cdbLength: 10,
    usage: [0x3b, MODE, 0xff, ...any(3), ...any(3), CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'unavailable',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.49',
    handler: writeBuffer,
  },
];
