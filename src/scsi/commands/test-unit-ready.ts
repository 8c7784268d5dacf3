/** TEST UNIT READY (SPC-4 6.47). */
import type { CommandRow } from '../command.ts';
import { CONTROL } from './usage.ts';

export const testUnitReadyCommands: readonly CommandRow[] = [
  {
    name: 'TEST UNIT READY',
    opcode: 0x00,
    cdbLength: 6,
    usage: [0x00, 0, 0, 0, 0, CONTROL],
    direction: 'none',
    reservation: 'persistent',
    alua: 'active',
    unitAttention: 'report',
    needsReady: true,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.47',
    handler: (task) => task.good(),
  },
];
