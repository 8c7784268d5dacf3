/** A vital product data page (SPC-4 7.8): one row per page, as one row per command in command.ts. */
import type { LogicalUnit } from '../logical-unit.ts';
import type { Task } from '../task.ts';

export interface VpdPage {
  /** PAGE CODE. */
  readonly code: number;
  /** The standard's name. */
  readonly name: string;
  /** Absent: every unit of the device type has the page. */
  readonly supported?: (unit: LogicalUnit) => boolean;
  /** What follows the four-byte header, for the initiator that asks. */
  readonly body: (task: Task) => Uint8Array;
}
