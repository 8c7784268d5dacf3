/**
 * Where a server runs, seen by whoever controls it: in this thread, in a worker thread, or spread over several
 * (shards/). What goes in and comes out is plain data, so that it makes no difference which.
 */

import type { Json } from './operations/operation.ts';
import { runOperation } from './operations/table.ts';
import { Server, type ServerOptions, type TargetSpec } from './server.ts';
import { describeServer, type ServerDescription } from './server-description.ts';

export interface ServerHost {
  describe(): Promise<ServerDescription>;
  /** Performs an operation of the table (operations/) where it belongs. Throws LunportError. */
  call(name: string, params: unknown): Promise<Json>;
  /** Resolves, with why, when the server is gone although nobody closed it. The host must still be closed. */
  readonly died: Promise<Error>;
  /** Gives everything back, in the order that loses nothing. */
  close(): Promise<void>;
}

/** A server in this thread. */
export class LocalHost implements ServerHost {
  /** An exception that nobody catches ends the thread, and so whoever would hear of it. */
  readonly died = new Promise<Error>(() => {});
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
  }

  /** Throws LunportError; nothing stays open then. */
  static async open(specs: readonly TargetSpec[], options: ServerOptions): Promise<LocalHost> {
    return new LocalHost(await Server.open(specs, options));
  }

  async describe(): Promise<ServerDescription> {
    return describeServer(this.server);
  }

  call(name: string, params: unknown): Promise<Json> {
    return runOperation(this.server, name, params);
  }

  close(): Promise<void> {
    return this.server.close();
  }
}
