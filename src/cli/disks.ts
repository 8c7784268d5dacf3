/** `lunport add`, `remove` and `resize`: disks of a running target. */

import { Command } from 'commander';
import { UsageError } from '../target/disk-spec.ts';
import type { Json, JsonObject } from '../target/operations/operation.ts';
import { formatSize, parseSize } from '../target/size.ts';
import { ExitCode } from './exit-codes.ts';
import { ask, targetOf } from './running.ts';

const SOCKET = 'socket of the target, as `lunport list` shows it';

interface Changed {
  readonly lun: number;
  readonly disk: string;
  readonly size: number;
}

/** `ended` receives the exit code. */
export function addCommand(ended: (code: number) => void): Command {
  return new Command('add')
    .description(
      'Add a disk to a running target; its guests see it at once. With `serve --config` it is there after a restart, too.',
    )
    .argument('<socket>', SOCKET)
    .argument('<disk>', 'as for serve, options after commas')
    .option('--lun <number>', 'where (default: the lowest that is free)', wholeNumber)
    .option('--json', 'one JSON document on stdout')
    .action(async (socket: string, disk: string, { lun, json }: { lun?: number; json?: true }) => {
      const place: JsonObject = lun === undefined ? {} : { lun };
      const added = await ask(socket, 'add', {
        ...targetOf(socket),
        disk,
        directory: process.cwd(),
        ...place,
      });
      print(json, added, ({ lun: at }) => `LUN ${at}: ${disk}`);
      ended(ExitCode.OK);
    });
}

export function removeCommand(ended: (code: number) => void): Command {
  return new Command('remove')
    .description(
      'Take a disk from a running target: what its guests have in flight is aborted, what they wrote to a file is durable then.',
    )
    .argument('<socket>', SOCKET)
    .argument('<lun>', 'which', wholeNumber)
    .option('--force', 'also one with reservations or registrations')
    .option('--json', 'one JSON document on stdout')
    .action(async (socket: string, lun: number, { force, json }: { force?: true; json?: true }) => {
      const removed = await ask(socket, 'remove', { ...targetOf(socket), lun, force: force === true });
      print(json, removed, () => `LUN ${lun} is removed.`);
      ended(ExitCode.OK);
    });
}

export function resizeCommand(ended: (code: number) => void): Command {
  return new Command('resize')
    .description(
      'Grow the file behind a LUN, or take over that it has grown; its guests see the new size at once.',
    )
    .argument('<socket>', SOCKET)
    .argument('<lun>', 'which', wholeNumber)
    .argument('[size]', 'the new size, such as 20G (default: what the file or device has now)', sizeOf)
    .option('--json', 'one JSON document on stdout')
    .action(async (socket: string, lun: number, size: number | undefined, { json }: { json?: true }) => {
      const bytes: JsonObject = size === undefined ? {} : { size };
      const resized = await ask(socket, 'resize', { ...targetOf(socket), lun, ...bytes });
      print(json, resized, (disk) => `LUN ${lun}: ${disk.disk}, ${formatSize(disk.size)}`);
      ended(ExitCode.OK);
    });
}

function print(json: true | undefined, answer: Json, text: (changed: Changed) => string): void {
  const line = json ? JSON.stringify(answer, undefined, 2) : text(answer as unknown as Changed);
  process.stdout.write(`${line}\n`);
}

function wholeNumber(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new UsageError(`expected a LUN but received "${text}"`);
}

function sizeOf(text: string): number {
  const size = parseSize(text);
  if (size === undefined) throw new UsageError(`expected a size such as 20G but received "${text}"`);
  return size;
}
