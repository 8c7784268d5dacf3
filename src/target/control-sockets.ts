/** The control sockets of a daemon: the same operations on each, so that every target socket leads to one. */
import { type Call, ControlSocket } from './control-socket.ts';
import type { Log } from './server.ts';

export class ControlSockets {
  private readonly sockets: ControlSocket[] = [];

  /** Throws LunportError; nothing listens then. */
  constructor(paths: readonly string[], call: Call, log: Log) {
    try {
      for (const path of paths) this.sockets.push(new ControlSocket(path, call, log));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    for (const socket of this.sockets) socket.close();
  }
}
