/** The command table of a direct access block device: every family's rows in one set. */
import { CommandSet } from './command.ts';
import { readCommands } from './commands/read.ts';
import { reportLunsCommands } from './commands/report-luns.ts';
import { testUnitReadyCommands } from './commands/test-unit-ready.ts';
import { writeCommands } from './commands/write.ts';

export const blockDeviceCommands = new CommandSet([
  ...testUnitReadyCommands,
  ...readCommands,
  ...writeCommands,
  ...reportLunsCommands,
]);
