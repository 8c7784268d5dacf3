/** A server in a worker thread. What the worker's event loop does is not held up by this one's, nor the other way. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { LunportError } from '../errors.ts';
import type { Json } from '../operations/operation.ts';
import type { Log, ServerOptions, TargetSpec } from '../server.ts';
import type { ServerDescription } from '../server-description.ts';
import type { ServerHost } from '../server-host.ts';
import {
  OPENING,
  revivedError,
  type ShardMessage,
  type ShardQuestion,
  type ShardRequest,
  type ShardSetup,
} from './shard-messages.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Beside this file, compiled as it is. */
const WORKER = new URL(`./shard-worker${extname(import.meta.filename)}`, import.meta.url);

export class WorkerHost implements ServerHost {
  readonly died: Promise<Error>;
  private readonly worker: Worker;
  private readonly log: Log;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = OPENING + 1;
  private closing: Promise<void> | undefined = undefined;
  /** Why there is nobody to ask any more. */
  private death: Error | undefined = undefined;

  private constructor(name: string, setup: ShardSetup, log: Log) {
    this.log = log;
    // What a worker opened by node:fs and did not close by it, Node would close at its end: disks are closed by the
    // addon, and their numbers may be another shard's by then.
    this.worker = new Worker(WORKER, { name, workerData: setup, trackUnmanagedFds: false });
    this.worker.on('message', (message: ShardMessage) => this.received(message));
    this.died = new Promise((resolve) => {
      const ended = (cause?: unknown) => {
        const death = this.buried(name, cause);
        if (this.closing === undefined) resolve(death);
      };
      // Serves nobody from here on. Its thread ends when its disks let go of it, which one that hangs never does.
      this.worker.once('error', ended);
      this.worker.once('exit', () => ended());
    });
  }

  /** `name` is for messages. Throws what opening the server throws; nothing stays open then. */
  static async open(
    name: string,
    specs: readonly TargetSpec[],
    { log, ...options }: ServerOptions,
  ): Promise<WorkerHost> {
    const host = new WorkerHost(name, { specs, options }, log);
    try {
      await host.answer(OPENING);
      return host;
    } catch (error) {
      host.closing = host.end();
      await host.closing;
      throw error;
    }
  }

  async describe(): Promise<ServerDescription> {
    return (await this.ask({ name: 'describe' })) as ServerDescription;
  }

  async call(operation: string, params: unknown): Promise<Json> {
    return (await this.ask({ name: 'call', operation, params })) as Json;
  }

  close(): Promise<void> {
    this.closing ??= this.death === undefined ? this.closeAndEnd() : Promise.resolve();
    return this.closing;
  }

  private async closeAndEnd(): Promise<void> {
    try {
      await this.ask({ name: 'close' });
    } finally {
      await this.end();
    }
  }

  private async end(): Promise<void> {
    await this.worker.terminate();
  }

  private ask(question: ShardQuestion): Promise<unknown> {
    const request: ShardRequest = { id: this.nextId++, ...question };
    this.worker.postMessage(request);
    return this.answer(request.id);
  }

  private answer(id: number): Promise<unknown> {
    if (this.death !== undefined) return Promise.reject(this.death);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  private received(message: ShardMessage): void {
    if (message.kind === 'log') {
      this.log[message.level](message.text);
      return;
    }
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.kind === 'answer') waiting?.resolve(message.value);
    else waiting?.reject(revivedError(message.error));
  }

  private buried(name: string, cause: unknown): Error {
    if (this.death !== undefined) return this.death;
    const why = cause instanceof Error ? (cause.stack ?? cause.message) : 'nobody knows why';
    this.death = new LunportError({
      code: 'shard-died',
      object: name,
      message: `${name} has ended, by a defect of lunport's own: ${why}`,
      hint: 'Start lunport again with the same arguments: guests that reconnect go on where they were.',
      cause,
    });
    for (const waiting of this.waiting.values()) waiting.reject(this.death);
    this.waiting.clear();
    return this.death;
  }
}
