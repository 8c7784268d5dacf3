/** `lunport serve` as a service manager starts it: with sockets that listen already, and told where to report to. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { spawnOwned } from '../../qemu/owned-child.ts';
import { packageRoot } from '../../qemu/package-root.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { addon } from '../../src/native/addon.ts';
import { checked } from '../../src/native/errno.ts';

/** Node.js cannot receive datagrams of this family, so another program does. */
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True: print(s.recv(4096).decode(), flush=True)`;

export interface Started {
  readonly child: ChildProcess;
  /** What the service manager was told. */
  readonly told: () => string;
  /** What the log says. */
  readonly errors: () => string;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
}

export interface ServiceOptions {
  /** LISTEN_PID; default: its own. */
  readonly pid?: number;
}

export class ServiceManager {
  readonly folder = temporaryFolder();
  private readonly listeners: number[] = [];
  private readonly children: ChildProcess[] = [];

  /** Listens on a socket that what is started next will get. */
  listen(name: string): string {
    const path = join(this.folder.path, name);
    this.listeners.push(checked(addon.unixListen(path, 16), 'listen on', path));
    return path;
  }

  async start(args: readonly string[], { pid }: ServiceOptions = {}): Promise<Started> {
    const notify = join(this.folder.path, `notify-${this.children.length}`);
    const receiver = this.spawn(['python3', '-c', RECEIVER, notify], ['ignore', 'pipe', 'inherit'], {});
    const told = collect(receiver.stdout!);
    await once(receiver.stdout!, 'data');
    const main = join(packageRoot(), 'dist', 'src', 'cli', 'main.js');
    // The shell becomes the program and keeps its number.
    const script = `LISTEN_PID=${pid ?? '$$'} exec "$@"`;
    const child = this.spawn(
      ['/bin/sh', '-c', script, 'sh', process.execPath, main, 'serve', ...args, '--ephemeral'],
      ['ignore', 'ignore', 'pipe', ...this.listeners],
      { NOTIFY_SOCKET: notify, LISTEN_FDS: String(this.listeners.length) },
    );
    const exited = once(child, 'exit');
    return {
      child,
      told,
      errors: collect(child.stderr!),
      async stop() {
        child.kill('SIGTERM');
        const [code] = await exited;
        return code as number | null;
      },
    };
  }

  /** Kills what still runs. */
  close(): void {
    for (const child of this.children) child.kill('SIGKILL');
    for (const fd of this.listeners) addon.close(fd);
    this.folder.remove();
  }

  private spawn(
    command: readonly string[],
    stdio: (number | 'ignore' | 'pipe' | 'inherit')[],
    environment: NodeJS.ProcessEnv,
  ): ChildProcess {
    const child = spawnOwned(command, { stdio, env: { ...process.env, ...environment } });
    this.children.push(child);
    return child;
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let all = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    all += text;
  });
  return () => all;
}
