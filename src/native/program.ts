/**
 * Runs a program of the system to its end. Not by Node's child_process, which stops the event loop until the program has
 * let go of its copies of our descriptors: where one leads to a disk that hangs, only the program waits here.
 */
import { accessSync, constants } from 'node:fs';
import { Socket } from 'node:net';
import { constants as system } from 'node:os';
import { join } from 'node:path';
import { addon } from './addon.ts';
import { Errno, systemError } from './errno.ts';

const READABLE = 1;
/** The addon's, for a program that a signal ended. */
const SIGNALLED = 256;
const NO_DESCRIPTOR = -1;

export interface ProgramEnd {
  /** Undefined when a signal ended it. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
  readonly output: string;
  readonly errors: string;
}

export interface ProgramOptions {
  /** Besides what this process has. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The program gets it as descriptor 3; it stays the caller's. */
  readonly descriptor?: number;
}

/** `name` is looked for where the shell would. Throws LunportError, at once, when it cannot be started. */
export function runProgram(
  name: string,
  args: readonly string[],
  { environment, descriptor = NO_DESCRIPTOR }: ProgramOptions = {},
): Promise<ProgramEnd> {
  const path = find(name);
  if (path === undefined) throw systemError(Errno.ENOENT, 'run', name);
  const variables = Object.entries({ ...process.env, ...environment }).map(
    ([key, value]) => `${key}=${value}`,
  );
  const started = addon.spawnProgram(path, [name, ...args], variables, descriptor);
  if (typeof started === 'number') throw systemError(started, 'run', name);
  return ended(name, started);
}

async function ended(
  name: string,
  program: { readonly pidfd: number; readonly output: number; readonly errors: number },
): Promise<ProgramEnd> {
  const texts = Promise.all([text(program.output), text(program.errors)]);
  const result = await exit(name, program.pidfd);
  const [output, errors] = await texts;
  if (result < SIGNALLED) return { status: result, signal: undefined, output, errors };
  const number = result - SIGNALLED;
  const [signal] = Object.entries(system.signals).find(([, value]) => value === number) ?? [
    `signal ${number}`,
  ];
  return { status: undefined, signal, output, errors };
}

function exit(name: string, pidfd: number): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    const poll = addon.poll(pidfd, READABLE, () => {
      if (typeof poll !== 'number') poll.stop();
      const result = addon.reapProgram(pidfd);
      addon.close(pidfd);
      if (result < 0) reject(systemError(result, 'wait for', name));
      else resolve(result);
    });
    if (typeof poll === 'number') {
      addon.close(pidfd);
      reject(systemError(poll, 'wait for', name));
    }
  });
}

/** All that comes through a pipe, whose end it closes. */
function text(fd: number): Promise<string> {
  return new Promise((resolve) => {
    let all = '';
    const socket = new Socket({ fd, readable: true, writable: false });
    socket.setEncoding('utf8').on('data', (part: string) => {
      all += part;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(all));
  });
}

/** Looked for here, since what is not there the system would only find out in a process with our descriptors. */
function find(name: string): string | undefined {
  const folders = name.includes('/') ? [''] : (process.env['PATH'] ?? '').split(':');
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
