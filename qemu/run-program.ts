import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { GuestError } from './guest-error.ts';
import { spawnOwned } from './owned-child.ts';

/** Which Debian package brings a program that this folder runs. */
const PACKAGES: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  mmdebstrap: 'mmdebstrap',
  debugfs: 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  mke2fs: 'e2fsprogs',
  resize2fs: 'e2fsprogs',
  mformat: 'mtools',
  mmd: 'mtools',
  mcopy: 'mtools',
  flock: 'util-linux',
};

/** An ordinary user's PATH on Debian lacks the sbin folders, where e2fsprogs lives. */
const SEARCH_PATH = [process.env['PATH'] ?? '', '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter);
export const PROGRAM_ENVIRONMENT = { ...process.env, PATH: SEARCH_PATH };

/** The path of a program, found like a shell would. @throws GuestError PROGRAM_MISSING */
export function findProgram(name: string): string {
  const candidates = name.includes('/') ? [name] : SEARCH_PATH.split(delimiter).map((dir) => join(dir, name));
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not in this folder.
    }
  }
  const debian = PACKAGES[name];
  throw new GuestError('PROGRAM_MISSING', `the program ${name} is not installed`, {
    hint: debian
      ? `apt-get install ${debian} (tools/setup.sh guest installs all that guests need)`
      : 'check the path',
  });
}

export interface ProgramOptions {
  readonly cwd?: string;
  /** Besides our own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Given to its standard input. */
  readonly input?: string;
  /** Each line of its standard error, as it comes. */
  readonly onLine?: (line: string) => void;
  /** What to do if it fails. */
  readonly hint?: string;
}

/**
 * Runs a program to its end and answers its standard output.
 * @throws GuestError BUILD_FAILED with the last lines of its standard error
 */
export async function runProgram(
  name: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const child = spawnOwned([findProgram(name), ...args], {
    cwd: options.cwd,
    env: { ...PROGRAM_ENVIRONMENT, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  let line = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4000);
    const lines = (line + text).split(/[\r\n]+/);
    line = lines.pop() ?? '';
    for (const each of lines) options.onLine?.(each);
  });
  // A program that ends without reading its input is judged by its exit code.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input ?? '');
  return await new Promise<string>((resolve, reject) => {
    child.once('error', (cause) => {
      reject(new GuestError('BUILD_FAILED', `${name} cannot be started: ${cause.message}`, { cause }));
    });
    child.once('close', (code, signal) => {
      if (code === 0) {
        resolve(output);
        return;
      }
      const how = code === null ? `was killed by ${signal}` : `ended with exit code ${code}`;
      const detail = errors.trimEnd().split('\n').slice(-12).join('\n') || output.slice(-1000);
      reject(new GuestError('BUILD_FAILED', `${name} ${how}`, { detail, hint: options.hint }));
    });
  });
}
