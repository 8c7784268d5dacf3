/** `lunport stop` and `log-level`: what a running lunport is told as a process. */
import { Argument, Command } from 'commander';
import { LOG_LEVELS } from '../target/option-values.ts';
import { ExitCode } from './exit-codes.ts';
import { ask, connectRunning } from './running.ts';

const SOCKET = 'socket of a target of it, as `lunport list` shows it';

/** `ended` receives the exit code. */
export function stopCommand(ended: (code: number) => void): Command {
  return new Command('stop')
    .description('End a running lunport in good order; returns when every disk is durable.')
    .argument('<socket>', SOCKET)
    .action(async (socket: string) => {
      const client = await connectRunning(socket);
      try {
        await client.call('stop');
        // An older lunport answers at once.
        await client.ended();
      } finally {
        client.close();
      }
      ended(ExitCode.OK);
    });
}

export function logLevelCommand(ended: (code: number) => void): Command {
  return new Command('log-level')
    .description('Set how much a running lunport logs.')
    .argument('<socket>', SOCKET)
    .addArgument(new Argument('<level>', 'how much').choices(LOG_LEVELS))
    .action(async (socket: string, level: string) => {
      await ask(socket, 'log-level', { level });
      ended(ExitCode.OK);
    });
}
