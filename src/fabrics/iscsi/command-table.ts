/** The commands of a session by initiator task tag: open addressing, since a Map allocates as it comes and goes. */
import type { ScsiCommand } from './command.ts';

/** More than twice what command-window.ts and session.ts let in. */
const SLOTS = 1024;
const MASK = SLOTS - 1;

/** Tags of initiators count upwards mostly, or have their index in the low or the high half. */
function slotOf(tag: number): number {
  return (tag ^ (tag >>> 16)) & MASK;
}

export class CommandTable {
  size = 0;
  private readonly slots: (ScsiCommand | undefined)[] = new Array(SLOTS).fill(undefined);

  get(tag: number): ScsiCommand | undefined {
    for (let slot = slotOf(tag); ; slot = (slot + 1) & MASK) {
      const command = this.slots[slot];
      if (command === undefined || command.taskTag === tag) return command;
    }
  }

  /** No other command has its tag. */
  add(command: ScsiCommand): void {
    let slot = slotOf(command.taskTag);
    while (this.slots[slot] !== undefined) slot = (slot + 1) & MASK;
    this.slots[slot] = command;
    this.size++;
  }

  delete(command: ScsiCommand): void {
    const { slots } = this;
    let hole = slotOf(command.taskTag);
    while (slots[hole] !== command) {
      if (slots[hole] === undefined) return;
      hole = (hole + 1) & MASK;
    }
    this.size--;
    // What was pushed past the hole by it moves back, so that it is found again.
    for (let slot = (hole + 1) & MASK; ; slot = (slot + 1) & MASK) {
      const candidate = slots[slot];
      if (candidate === undefined) break;
      if (((slot - slotOf(candidate.taskTag)) & MASK) < ((slot - hole) & MASK)) continue;
      slots[hole] = candidate;
      hole = slot;
    }
    slots[hole] = undefined;
  }

  /** Those that are here now. */
  all(): ScsiCommand[] {
    return this.slots.filter((command) => command !== undefined);
  }
}
