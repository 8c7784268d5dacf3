/**
 * The way from a task to its block device. A file of its own, because the command files need this and
 * block-device.ts needs the command files: neither may load the other.
 */
import type { BlockDevice } from './block-device.ts';
import type { Task } from './task.ts';

/** The block device of a task whose row belongs to blockDeviceCommands. */
export function blockDeviceOf(task: Task): BlockDevice {
  return task.itl!.logicalUnit as BlockDevice;
}
