/** A file whose server stops answering: what a dead NFS server or a lost disk is to whoever reads from it. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { spawnOwned } from '../../qemu/owned-child.ts';

/** Whether this machine can mount by FUSE. */
export const CAN_HANG = existsSync('/dev/fuse') && existsSync('/usr/bin/fusermount3');

const SERVER = new URL('./hanging-file-server.js', import.meta.url).pathname;

export interface HangingFile {
  /** 64 MiB, open for reading and writing. */
  readonly fd: number;
  /** How often its server has made it durable, as it was asked to by now. */
  syncs(): number;
  /** From now on whatever it is asked waits for ever. */
  hang(): void;
  /** Ends what waits with an error, and takes the file away. Safe to call twice. */
  release(): Promise<void>;
}

/** `path` does not exist. `writeDelay`: milliseconds that each write takes. */
export async function hangingFile(path: string, writeDelay = 0): Promise<HangingFile> {
  writeFileSync(path, '');
  const command = [process.execPath, SERVER, path, String(writeDelay)];
  const server = spawnOwned(command, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(server.stdout!, 'data');
  let syncs = 0;
  server.stdout!.on('data', (chunk: Buffer) => {
    syncs += chunk.toString().split('durable').length - 1;
  });
  const fd = openSync(path, 'r+');
  // The kernel learns its size by this, not by opening it.
  fstatSync(fd);
  return {
    fd,
    syncs: () => syncs,
    hang: () => void server.kill('SIGSTOP'),
    async release() {
      if (server.signalCode !== null) return;
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
      closeSync(fd);
      spawnSync('fusermount3', ['-u', '-z', '--', path]);
    },
  };
}
