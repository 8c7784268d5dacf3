/** `lunport save`: the configuration of a running lunport, whichever way it was started. */
import { resolve } from 'node:path';
import { Command } from 'commander';
import { writeConfiguration } from '../target/configuration/configuration-file.ts';
import type { Configuration } from '../target/configuration/schema.ts';
import { ExitCode } from './exit-codes.ts';
import { ask } from './running.ts';

const EXAMPLES = `
What was added and removed since the start is in it, and so are CHAP secrets: the file is for its owner only.

Examples:
  lunport save /tmp/vm1.sock lunport.json
  lunport serve --config lunport.json`;

/** `ended` receives the exit code. */
export function saveCommand(ended: (code: number) => void): Command {
  return new Command('save')
    .description('Write what a running lunport serves to a file that `serve --config` takes.')
    .argument('<socket>', 'socket of a target of it, as `lunport list` shows it')
    .argument('[file]', 'where to (default: the file that it was started with)')
    .addHelpText('after', EXAMPLES)
    .action(async (socket: string, file?: string) => {
      process.stdout.write(`Saved to ${await save(socket, file)}.\n`);
      ended(ExitCode.OK);
    });
}

async function save(socket: string, file: string | undefined): Promise<string> {
  if (file === undefined) {
    const { path } = (await ask(socket, 'save')) as { readonly path: string };
    return path;
  }
  const path = resolve(file);
  await writeConfiguration(path, (await ask(socket, 'configuration')) as unknown as Configuration);
  return path;
}
