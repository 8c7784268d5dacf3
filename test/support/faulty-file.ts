/**
 * A file whose storage misbehaves on demand: nbdkit's, shown as a file by nbdfuse. Both are others' programs, and what
 * lunport sees is what any failing file system does.
 */
import type { ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnOwned } from '../../qemu/owned-child.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';

const READY_MS = 20_000;

export interface FaultyFileOptions {
  /** Bytes. */
  readonly size: number;
  /** Bytes from the start: while `fail` holds, whatever touches this byte is an I/O error. */
  readonly badByte?: number;
}

export class FaultyFile {
  readonly path: string;
  private readonly folder = temporaryFolder();
  private readonly server: ChildProcess;
  private readonly mount: ChildProcess;
  private readonly failing: string;

  private constructor({ size, badByte = 0 }: FaultyFileOptions) {
    const at = (name: string) => join(this.folder.path, name);
    this.path = at('disk');
    this.failing = at('failing');
    writeFileSync(this.path, '');
    writeFileSync(at('data'), '');
    truncateSync(at('data'), size);
    // $2 handle, $3 bytes, $4 offset; the error's name comes first on standard error.
    const check = `if [ -e ${this.failing} ] && [ $4 -le ${badByte} ] && [ $(($4 + $3)) -gt ${badByte} ]; then
      echo EIO the byte is bad >&2; exit 1; fi`;
    const file = at('data');
    this.server = spawnOwned(
      [
        ...['nbdkit', '--foreground', '--unix', at('socket'), 'eval'],
        `get_size=echo ${size}`,
        `pread=${check}; dd if=${file} bs=64k skip=$4 count=$3 iflag=count_bytes,skip_bytes status=none`,
        `pwrite=${check}; dd of=${file} bs=64k seek=$4 oflag=seek_bytes conv=notrunc status=none`,
        'flush=exit 0',
        'can_write=exit 0',
        'can_flush=exit 0',
      ],
      { stdio: 'ignore' },
    );
    // A client that comes before the socket does gives up.
    const mount = `until [ -S ${at('socket')} ]; do sleep 0.02; done; exec nbdfuse ${this.path} --unix ${at('socket')}`;
    this.mount = spawnOwned(['sh', '-c', mount], { stdio: 'ignore' });
  }

  /** Resolves when the file can be opened. */
  static async start(options: FaultyFileOptions): Promise<FaultyFile> {
    const file = new FaultyFile(options);
    const patienceEnds = performance.now() + READY_MS;
    while (statSync(file.path).size !== options.size) {
      if (performance.now() > patienceEnds) {
        await file.close();
        throw new Error('nbdkit and nbdfuse show no file');
      }
      await sleep(20);
    }
    return file;
  }

  /** From now on, `badByte` is bad. */
  fail(): void {
    writeFileSync(this.failing, '');
  }

  heal(): void {
    rmSync(this.failing);
  }

  /** From now on, nothing is answered. */
  hang(): void {
    this.server.kill('SIGSTOP');
  }

  answer(): void {
    this.server.kill('SIGCONT');
  }

  /** From now on the file system itself answers nobody: not even closing the file ends. */
  async freeze(): Promise<void> {
    this.mount.kill('SIGSTOP');
    // Each of its threads stops in its own time, and may answer until then.
    const tasks = `/proc/${this.mount.pid}/task`;
    const stopped = (id: string) => /\) T /.test(readFileSync(`${tasks}/${id}/stat`, 'latin1'));
    while (!readdirSync(tasks).every(stopped)) await sleep(1);
  }

  thaw(): void {
    this.mount.kill('SIGCONT');
  }

  /** Whoever has the file open gets errors from now on. */
  async close(): Promise<void> {
    for (const child of [this.server, this.mount]) {
      const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      child.kill('SIGKILL');
      await exited;
    }
    // What a killed nbdfuse leaves mounted is of no use to anybody.
    spawnSync('fusermount3', ['-u', '-z', this.path]);
    if (existsSync(this.folder.path)) this.folder.remove();
  }
}
