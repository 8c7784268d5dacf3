/**
 * The REPORT LUNS well-known logical unit (SPC-4 8.2; device type 1Eh): a LUN that every target has, for
 * initiators that want the list of the others before they know any. It runs four commands.
 */
import { CommandSet } from './command.ts';
import { inquiryCommands } from './commands/inquiry.ts';
import { reportLunsCommands } from './commands/report-luns.ts';
import { requestSenseCommands } from './commands/request-sense.ts';
import { testUnitReadyCommands } from './commands/test-unit-ready.ts';
import { LogicalUnit } from './logical-unit.ts';
import type { Nexus } from './nexus.ts';
import type { SenseCode } from './sense-spec.ts';
import { deviceIdentificationPage } from './vpd/device-identification.ts';
import { unitSerialNumberPage } from './vpd/unit-serial-number.ts';

const WELL_KNOWN_LOGICAL_UNIT = 0x1e;

const commands = new CommandSet([
  ...testUnitReadyCommands,
  ...requestSenseCommands(() => undefined),
  ...inquiryCommands({ vpdPages: [unitSerialNumberPage, deviceIdentificationPage] }),
  ...reportLunsCommands,
]);

export class WellKnownUnit extends LogicalUnit {
  readonly commands: CommandSet = commands;
  readonly deviceType = WELL_KNOWN_LOGICAL_UNIT;

  /** It has no reservations, no access states and no medium. */
  admit(): boolean {
    return true;
  }

  reset(cause: SenseCode, by: Nexus | undefined): void {
    this.establishForAll(cause, by);
  }
}
