/**
 * The control socket: a Unix socket for this user alone, on which programs ask for operations in JSON-RPC 2.0, one
 * message per line. It knows no operation; `call` does. One connection's requests are answered in their order.
 */
import { once } from 'node:events';
import { Socket } from 'node:net';
import { addon } from '../native/addon.ts';
import { UnixListener, type UnixListenerOwner } from '../native/unix-socket.ts';
import { LunportError } from './errors.ts';
import { encodeFailure, encodeResult, parseRequest, RpcProtocolError } from './json-rpc.ts';
import { readLines } from './line-reader.ts';
import type { Json } from './operations/operation.ts';
import type { Log } from './server.ts';

/** Performs an operation, here or in another thread. Rejects with a LunportError. */
export type Call = (name: string, params: unknown) => Promise<Json>;

/** Bytes of a request; data for a disk is the longest part of one. */
export const MAX_REQUEST = 8 << 20;
const MAX_CONNECTIONS = 64;
const ROOT = 0;

/** Where the control socket of a daemon is that serves `socketPath`. */
export function controlPath(socketPath: string): string {
  return `${socketPath}.ctl`;
}

export class ControlSocket implements UnixListenerOwner {
  readonly path: string;
  private readonly call: Call;
  private readonly log: Log;
  private readonly listener: UnixListener;
  private readonly connections = new Set<Socket>();

  /** Listens; takes over a socket that nobody listens on any more. Throws LunportError. */
  constructor(path: string, call: Call, log: Log) {
    this.path = path;
    this.call = call;
    this.log = log;
    this.listener = new UnixListener(path, this);
  }

  /** Hangs up on everybody; answers that are written already still arrive. */
  close(): void {
    this.listener.close();
    for (const socket of this.connections) socket.destroySoon();
  }

  connected(fd: number): void {
    const peer = addon.peerCredentials(fd);
    const refusal = this.refusal(typeof peer === 'number' ? undefined : peer.uid);
    if (refusal !== undefined) {
      this.log.warn(`${this.path}: a connection was refused: ${refusal}`);
      addon.close(fd);
      return;
    }
    const socket = new Socket({ fd, readable: true, writable: true });
    this.connections.add(socket);
    // What the reader does not see, such as an error while it waits for an answer.
    socket.on('error', () => {});
    void this.serve(socket).then((reason) => {
      this.connections.delete(socket);
      socket.destroySoon();
      if (reason !== undefined) this.log.warn(`${this.path}: a connection ended: ${reason}`);
    });
  }

  acceptFailed(error: Error): void {
    this.log.warn(`${this.path}: ${error.message}`);
  }

  /** The file's mode keeps others out; its directory may have been made by somebody who does not. */
  private refusal(uid: number | undefined): string | undefined {
    if (uid === undefined) return 'it does not tell whose it is';
    if (uid !== process.getuid!() && uid !== ROOT) return `it is of user ${uid}`;
    return this.connections.size >= MAX_CONNECTIONS ? 'there are too many' : undefined;
  }

  /** Resolves when the peer has gone, or with the reason why it has to. */
  private async serve(socket: Socket): Promise<string | undefined> {
    try {
      for await (const line of readLines(socket, MAX_REQUEST)) {
        const response = await this.answer(line);
        // A peer that does not read its answers is not read from either.
        if (response !== undefined && !socket.write(response)) await once(socket, 'drain');
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof RpcProtocolError)) return undefined;
      socket.write(error.response);
      return error.message;
    }
  }

  private async answer(line: string): Promise<string | undefined> {
    const { id, method, params } = parseRequest(line);
    try {
      const result = await this.call(method, params);
      return id === undefined ? undefined : encodeResult(id, result);
    } catch (error) {
      if (!(error instanceof LunportError)) this.log.error(`${method}: ${(error as Error).stack}`);
      return id === undefined ? undefined : encodeFailure(id, error);
    }
  }
}
