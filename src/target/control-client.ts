/** The other end of the control socket: what the commands of `lunport` ask a running one with. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { z } from 'zod';
import { fromNodeError } from '../native/errno.ts';
import { LunportError } from './errors.ts';
import { encodeRequest } from './json-rpc.ts';
import { readLines } from './line-reader.ts';
import type { Json, JsonObject } from './operations/operation.ts';
import { type ErrorJson, errorFromJson } from './operations/operation-error.ts';

/** Bytes; a list of thousands of LUNs is long. */
const MAX_RESPONSE = 256 << 20;

const responseSchema = z.object({
  id: z.union([z.number(), z.null()]),
  result: z.json().optional(),
  error: z
    .object({
      message: z.string(),
      data: z
        .object({ code: z.string(), object: z.string(), message: z.string(), hint: z.string().optional() })
        .optional(),
    })
    .optional(),
});

const NOBODY: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED']);

/** Where nobody listens, it helps to know who does. */
function describe(error: unknown): unknown {
  if (!(error instanceof LunportError) || !NOBODY.has(error.code)) return error;
  const { code, object, message, cause } = error;
  const hint = 'No lunport serves there. "lunport list" shows those in the runtime directory.';
  return new LunportError({ code, object, message, hint, cause });
}

export class ControlClient {
  readonly path: string;
  private readonly socket: Socket;
  private readonly lines: AsyncIterator<string>;
  private nextId = 1;

  private constructor(path: string, socket: Socket) {
    this.path = path;
    this.socket = socket;
    this.lines = readLines(socket, MAX_RESPONSE)[Symbol.asyncIterator]();
  }

  /** Throws LunportError when nobody listens at `path`. */
  static async connect(path: string): Promise<ControlClient> {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
    } catch (error) {
      throw describe(fromNodeError(error, 'ask the lunport at', path));
    }
    return new ControlClient(path, socket);
  }

  /** Throws LunportError: the operation's own, or one of code 'no-answer'. */
  async call(name: string, params: JsonObject = {}): Promise<Json> {
    this.socket.write(encodeRequest(this.nextId++, name, params));
    const response = await this.response();
    if (response?.error !== undefined) {
      const { message, data } = response.error;
      throw errorFromJson((data as ErrorJson | undefined) ?? { code: 'rpc', object: this.path, message });
    }
    if (response?.result !== undefined) return response.result;
    throw new LunportError({
      code: 'no-answer',
      object: this.path,
      message: `The lunport at ${this.path} ended before it answered "${name}"`,
    });
  }

  /** Resolves when the other side has hung up. */
  async ended(): Promise<void> {
    try {
      while (!(await this.lines.next()).done);
    } catch {
      // However it ended.
    }
  }

  close(): void {
    this.socket.destroy();
  }

  private async response(): Promise<z.infer<typeof responseSchema> | undefined> {
    try {
      const { value, done } = await this.lines.next();
      return done ? undefined : responseSchema.parse(JSON.parse(value));
    } catch {
      return undefined;
    }
  }
}
