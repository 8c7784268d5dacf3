/** `lunport serve` as a child process, for tests that look at the process from outside. */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { spawnOwned } from '../../qemu/owned-child.ts';
import { packageRoot } from '../../qemu/package-root.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';

export interface ServeProcess {
  readonly pid: number;
  readonly socket: string;
  /** iSCSI URLs, one per portal and LUN, where `--iscsi` was among the arguments. */
  readonly iscsi: readonly string[];
  /** NBD URIs, one per LUN, where `--nbd` was among the arguments. */
  readonly nbd: readonly string[];
  readonly targets: readonly ServedTarget[];
  /** URL, where `--metrics` was among the arguments. */
  readonly metrics: string | undefined;
  /** Lines on stdout that are not JSON: what Node itself prints, as with --trace-gc. */
  readonly otherLines: readonly string[];
  /** Resolves with the exit code when it has ended, whoever ended it. */
  readonly exited: Promise<number | null>;
  /** All that stderr said until now. */
  errors(): string;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL; resolves when it is dead. */
  kill(): Promise<void>;
}

export interface ServedTarget {
  readonly sockets: readonly { readonly path: string }[];
  readonly shard?: number;
}

export interface ServeProcessOptions {
  /** For Node, before the program. */
  readonly nodeArguments?: readonly string[];
  /** Where to listen; default a folder of its own. */
  readonly socket?: string;
  /** For `serve`, after the disks. */
  readonly serveArguments?: readonly string[];
}

/** The parts of `lunport serve --json` that are of use here. */
interface ReadyDocument {
  readonly event?: string;
  readonly iscsi?: readonly string[];
  readonly nbd?: readonly string[];
  readonly targets?: readonly ServedTarget[];
  readonly metrics?: string;
}

/** Resolves when the socket is ready; rejects with what was printed when it never is. */
export async function startServe(
  disks: readonly string[],
  options: ServeProcessOptions = {},
): Promise<ServeProcess> {
  const folder = temporaryFolder();
  const socket = options.socket ?? join(folder.path, 'serve.sock');
  const given = [...disks, '--socket', socket, '--ephemeral', ...(options.serveArguments ?? [])];
  const serve = await start(given, options.nodeArguments, () => folder.remove());
  return { ...serve, socket };
}

/** The same from a file; `socket` is the first one. */
export function serveConfiguration(
  file: string,
  serveArguments: readonly string[] = [],
): Promise<ServeProcess> {
  return start(['--config', file, ...serveArguments]);
}

async function start(
  given: readonly string[],
  nodeArguments: readonly string[] = [],
  cleanUp = () => {},
): Promise<ServeProcess> {
  const main = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
  const child = spawnOwned([process.execPath, ...nodeArguments, main, 'serve', ...given, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const otherLines: string[] = [];
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => {
      cleanUp();
      resolve(code);
    });
  });
  const {
    iscsi = [],
    nbd = [],
    targets = [],
    metrics,
  } = await new Promise<ReadyDocument>((resolve, reject) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (!line.startsWith('{')) {
        otherLines.push(line);
        return;
      }
      const document = JSON.parse(line) as ReadyDocument;
      if (document.event === 'ready') resolve(document);
    });
    void exited.then((code) => reject(new Error(`lunport serve ended with ${code}: ${errors}`)));
  });
  return {
    pid: child.pid!,
    socket: targets[0].sockets[0].path,
    iscsi,
    nbd,
    targets,
    metrics,
    otherLines,
    exited,
    errors: () => errors,
    stop() {
      child.kill('SIGTERM');
      return exited;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
