/** `lunport import` and `export`: saveconfig.json of LIO, in and out. */
import { lstatSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Command } from 'commander';
import {
  parseConfiguration,
  parseJson,
  readText,
  writeConfiguration,
  writeText,
} from '../target/configuration/configuration-file.ts';
import { withPlaces } from '../target/configuration/places.ts';
import type { Configuration } from '../target/configuration/schema.ts';
import { runtimeDirectory } from '../target/directories.ts';
import { exportSaveconfig } from '../target/saveconfig/export-saveconfig.ts';
import { importSaveconfig } from '../target/saveconfig/import-saveconfig.ts';
import type { Note } from '../target/saveconfig/notes.ts';
import { targetWwn } from '../target/served-target.ts';
import { ExitCode } from './exit-codes.ts';
import { ask } from './running.ts';

const IMPORT_EXAMPLES = `
What cannot be served is left out and told on stderr, and the exit code is 1 then; the rest is imported all the same.

Examples:
  lunport import /etc/rtslib-fb-target/saveconfig.json -o lunport.json
  lunport serve --config lunport.json`;

const EXPORT_EXAMPLES = `
What an imported file had beyond lunport's understanding is in it again.

Examples:
  lunport export lunport.json -o saveconfig.json
  lunport export /tmp/vm1.sock`;

/** `ended` receives the exit code. */
export function importCommand(ended: (code: number) => void): Command {
  return new Command('import')
    .description(
      "Make a configuration from LIO's saveconfig.json: storage objects, targets, portals, ACLs, CHAP.",
    )
    .argument('<saveconfig>', 'as targetcli writes it')
    .option('-o, --output <file>', 'the configuration, for its owner only (default: stdout)')
    .addHelpText('after', IMPORT_EXAMPLES)
    .action(async (file: string, { output }: { output?: string }) => {
      const path = resolve(file);
      const { configuration, notes } = importSaveconfig(parseJson(readText(path), path), path);
      // What is written must be what `serve` takes.
      const text = JSON.stringify(configuration, undefined, 2);
      const checked = parseConfiguration(text, output ?? 'the configuration');
      if (output === undefined) process.stdout.write(`${text}\n`);
      else await writeConfiguration(resolve(output), checked);
      ended(tell(notes));
    });
}

export function exportCommand(ended: (code: number) => void): Command {
  return new Command('export')
    .description("Make LIO's saveconfig.json from a configuration or from a running lunport.")
    .argument('<configuration>', 'a file of `serve --config`, or the socket of a target of a running lunport')
    .option('-o, --output <file>', 'the saveconfig.json, for its owner only (default: stdout)')
    .addHelpText('after', EXPORT_EXAMPLES)
    .action(async (source: string, { output }: { output?: string }) => {
      const path = resolve(source);
      const configuration = isSocket(path)
        ? ((await ask(path, 'configuration')) as unknown as Configuration)
        : parseConfiguration(readText(path), path);
      const placed = withPlaces(configuration, dirname(path), runtimeDirectory);
      const { document, notes } = exportSaveconfig(placed, { wwns: placed.targets.map(targetWwn), sizeOf });
      const text = `${JSON.stringify(document, undefined, 2)}\n`;
      if (output === undefined) process.stdout.write(text);
      else await writeText(resolve(output), text);
      ended(tell(notes));
    });
}

function tell(notes: readonly Note[]): number {
  for (const { kind, object, message } of notes) {
    process.stderr.write(
      `lunport: ${kind === 'refused' ? 'left out' : 'not as before'}: ${object}: ${message}\n`,
    );
  }
  return notes.some(({ kind }) => kind === 'refused') ? ExitCode.FAILED : ExitCode.OK;
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

function sizeOf(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() ? stat.size : undefined;
}
