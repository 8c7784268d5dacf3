/**
 * A listening unix socket: takes over what a dead process left behind, refuses to take what a live one holds, and
 * removes its own file when it closes.
 */
import { lstatSync, unlinkSync } from 'node:fs';
import { addon, type RawPoll } from '../../native/addon.ts';
import { checked, Errno, fromNodeError, LunportError, systemError } from '../../native/errno.ts';

const READABLE = 1;
const BACKLOG = 16;
/** sun_path, without its final zero. */
const MAX_PATH = 107;

export class Listener {
  readonly path: string;
  private readonly fd: number;
  private readonly poll: RawPoll;
  /** Of the socket's file: another process may have replaced it by the time we close. */
  private readonly inode: number;
  private open = true;

  /** Listens on `path`; `accepted` takes over each connection's descriptor. Throws LunportError. */
  constructor(path: string, accepted: (fd: number) => void, failed: (error: Error) => void) {
    this.path = path;
    if (Buffer.byteLength(path) > MAX_PATH) {
      throw new LunportError({
        code: 'ENAMETOOLONG',
        object: path,
        message: `Socket path of ${Buffer.byteLength(path)} bytes, at most ${MAX_PATH} are possible: ${path}`,
        hint: 'Choose a shorter path; a symbolic link to its folder helps.',
      });
    }
    removeStale(path);
    this.fd = checked(addon.unixListen(path, BACKLOG), 'listen on', path);
    this.inode = lstatSync(path).ino;
    const poll = addon.poll(this.fd, READABLE, () => {
      const fd = addon.unixAccept(this.fd);
      if (fd >= 0) accepted(fd);
      else if (fd !== Errno.EAGAIN) failed(systemError(fd, 'accept a connection on', path));
    });
    if (typeof poll === 'number') {
      addon.close(this.fd);
      throw systemError(poll, 'poll', path);
    }
    this.poll = poll;
  }

  /** Accepts nobody for now; who connects waits. */
  pause(): void {
    if (this.open) this.poll.events(0);
  }

  resume(): void {
    if (this.open) this.poll.events(READABLE);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.poll.stop();
    try {
      if (lstatSync(this.path).ino === this.inode) unlinkSync(this.path);
    } catch {
      // Somebody has removed it already.
    }
    addon.close(this.fd);
  }
}

/** Removes the socket of a process that is gone; throws when one lives, or when it is no socket at all. */
function removeStale(path: string): void {
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (file === undefined) return;
  if (!file.isSocket()) {
    throw new LunportError({
      code: 'EEXIST',
      object: path,
      message: `${path} exists and is not a socket`,
      hint: 'Choose another path, or remove the file if it is of no use.',
    });
  }
  const probe = addon.unixConnect(path);
  if (probe >= 0 || probe === Errno.EAGAIN) {
    const peer = probe >= 0 ? addon.peerCredentials(probe) : undefined;
    if (probe >= 0) addon.close(probe);
    const holder = typeof peer === 'object' ? `process ${peer.pid}` : 'another process';
    throw new LunportError({
      code: 'EADDRINUSE',
      object: path,
      message: `${holder[0].toUpperCase()}${holder.slice(1)} listens on ${path}`,
      hint: 'Stop that process, or choose another socket path with --socket.',
    });
  }
  if (probe !== Errno.ECONNREFUSED && probe !== Errno.ENOENT) throw systemError(probe, 'connect to', path);
  try {
    unlinkSync(path);
  } catch (error) {
    throw fromNodeError(error, 'remove', path);
  }
}
