/** The disk that everybody gets: a direct access block device with all of its commands. */
import { BlockDevice } from './block-device.ts';
import { blockDeviceCommands } from './block-device-commands.ts';
import type { CommandSet } from './command.ts';

export class Disk extends BlockDevice {
  readonly commands: CommandSet = blockDeviceCommands;
  readonly deviceType = 0x00;
}
