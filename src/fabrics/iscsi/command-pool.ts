/** Commands that are over, for the next ones: a task and its buffers are dear to make. */
import { ScsiCommand } from './command.ts';

/** Commands kept for reuse by all sessions. */
const MAX_KEPT = 1024;

export class CommandPool {
  private readonly free: ScsiCommand[] = [];

  take(): ScsiCommand {
    return this.free.pop() ?? new ScsiCommand(this);
  }

  give(command: ScsiCommand): void {
    if (this.free.length < MAX_KEPT) this.free.push(command);
  }
}
