/** PREVENT ALLOW MEDIUM REMOVAL (SPC-4 6.17): a lock per I_T nexus. */
import type { BlockDevice } from '../block-device.ts';
import type { CommandRow } from '../command.ts';
import { CONTROL } from './usage.ts';

/** Bit 1 of the field is obsolete: it locked the door of a changer. */
const PREVENT = 0x01;

export const preventAllowMediumRemovalCommands: readonly CommandRow[] = [
  {
    name: 'PREVENT ALLOW MEDIUM REMOVAL',
    opcode: 0x1e,
    cdbLength: 6,
    usage: [0x1e, 0, 0, 0, PREVENT, CONTROL],
    direction: 'none',
    reservation: 'write',
    passesReservations: (cdb) => (cdb[4] & PREVENT) === 0,
    alua: 'active',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 10,
    standard: 'SPC-4 6.17',
    supported: (unit) => (unit as BlockDevice).removableMedium !== undefined,
    handler: (task) => {
      task.itl!.preventsRemoval = (task.cdb[4] & PREVENT) !== 0;
      task.good();
    },
  },
];
