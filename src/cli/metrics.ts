/** `lunport metrics`: what a running lunport has counted. */
import { Command } from 'commander';
import { ExitCode } from './exit-codes.ts';
import { ask } from './running.ts';

/** `ended` receives the exit code. */
export function metricsCommand(ended: (code: number) => void): Command {
  return new Command('metrics')
    .description("Print the metrics of a running lunport in Prometheus's text format (docs/metrics.md).")
    .argument('<socket>', 'socket of a target of it, as `lunport list` shows it')
    .action(async (socket: string) => {
      const { text } = (await ask(socket, 'metrics')) as { readonly text: string };
      process.stdout.write(text);
      ended(ExitCode.OK);
    });
}
