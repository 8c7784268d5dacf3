/** Commands about the unit itself: its readiness, identity, capacity, and what it has to say. */
import { Sense } from '../../../src/scsi/sense-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { BLOCK, BLOCKS } from './disk-model.ts';
import { fails, GOOD } from './expected.ts';
import { cdb, type ModelCommand } from './model-command.ts';

export const unitCommands: readonly ModelCommand[] = [
  {
    text: 'TEST UNIT READY',
    request: { cdb: cdb(6) },
    nature: { access: 'legacy' },
    perform: () => GOOD,
  },
  {
    text: 'INQUIRY',
    request: { cdb: cdb(6, 0x12, 0, 0, 0, 36), dataInLength: 36 },
    nature: { access: 'free', quiet: true },
    look: (data) => data.subarray(0, 1),
    perform: () => ({ status: Status.GOOD, data: Uint8Array.of(0) }),
  },
  {
    text: 'REQUEST SENSE',
    request: { cdb: cdb(6, 0x03, 0, 0, 0, 252), dataInLength: 252 },
    nature: { access: 'free', quiet: true },
    look: (data) => Uint8Array.of(data[2], data[12], data[13]),
    perform: (disk, who) => {
      const { key, code } = disk.takeAttention(who);
      return { status: Status.GOOD, data: Uint8Array.of(key, code >> 8, code & 0xff) };
    },
  },
  {
    text: 'READ CAPACITY(10)',
    request: { cdb: cdb(10, 0x25), dataInLength: 8 },
    nature: { access: 'free' },
    perform: () => ({ status: Status.GOOD, data: Uint8Array.of(0, 0, 0, BLOCKS - 1, 0, 0, BLOCK >> 8, 0) }),
  },
  {
    text: 'SYNCHRONIZE CACHE(10)',
    request: { cdb: cdb(10, 0x35) },
    nature: { access: 'write' },
    perform: () => GOOD,
  },
  {
    text: 'an unknown command',
    request: { cdb: cdb(6, 0x0d) },
    nature: { access: 'own' },
    perform: () => fails(Sense.INVALID_COMMAND_OPERATION_CODE),
  },
];
