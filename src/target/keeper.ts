/**
 * A process that does nothing but wait for this one's death, and then runs a command: it restarts the server of a
 * device that waits for one, or gives the device up. A shell, for it sleeps in a read and needs a megabyte.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The pipe's end is our death; a line is our leave to go. */
const WAIT = 'read -r _ && exit 0; exec "$@"';

const GIVE_UP = 'sleep 30; exec "$@"';

/** For a device that somebody may serve again, but not for long: half a minute, then it is given up. */
export function giveUpLater(name: string): string[] {
  const program = fileURLToPath(new URL(`../cli/main${extname(import.meta.url)}`, import.meta.url));
  return ['sh', '-c', GIVE_UP, 'lunport-keeper', process.execPath, program, 'detach', name, '--if-dead'];
}

export class Keeper {
  private readonly command: readonly string[];
  private child: ChildProcess | undefined = undefined;
  private dismissed = false;

  constructor(command: readonly string[]) {
    this.command = command;
    this.start();
  }

  /** Nothing happens any more when this process ends. */
  dismiss(): void {
    this.dismissed = true;
    this.child?.stdin?.end('\n');
  }

  private start(): void {
    const child = spawn('sh', ['-c', WAIT, 'lunport-keeper', ...this.command], {
      // Its own session: what ends this process from a terminal must not end it too.
      detached: true,
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    this.child = child;
    child.stdin.on('error', () => {});
    child.unref();
    (child.stdin as Socket).unref();
    // Whoever killed it did not mean to leave the device alone.
    child.once('exit', (code) => {
      if (!this.dismissed && code !== 0) this.start();
    });
    child.once('error', () => {});
  }
}
