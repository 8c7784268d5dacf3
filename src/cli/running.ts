/** Finding a running lunport, and a LUN of it, from what people have at hand: the path of a target's socket. */
import { lstatSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ControlClient } from '../target/control-client.ts';
import { controlPath } from '../target/control-socket.ts';
import { runtimeDirectory } from '../target/directories.ts';
import type { Json, JsonObject } from '../target/operations/operation.ts';

const CONTROL = '.ctl';

/** Asks one thing. `socket`: of a target, or a control socket. Throws LunportError. */
export async function ask(socket: string, name: string, params: JsonObject = {}): Promise<Json> {
  const client = await connectRunning(socket);
  try {
    return await client.call(name, params);
  } finally {
    client.close();
  }
}

/** A LUN of a running lunport, by the socket of its target. */
export interface RunningLun {
  readonly socket: string;
  readonly lun: number;
}

/** `SOCKET` (LUN 0) or `SOCKET:LUN`; undefined when there is no such socket. */
export function runningLun(text: string): RunningLun | undefined {
  const [, path, digits] = /^(.*?)(?::(\d{1,5}))?$/s.exec(text)!;
  if (isSocket(text)) return { socket: text, lun: 0 };
  return isSocket(path) ? { socket: path, lun: Number(digits) } : undefined;
}

/** Throws LunportError. */
export function connectRunning(socket: string): Promise<ControlClient> {
  const path = resolve(socket);
  const beside = controlPath(path);
  return ControlClient.connect(isSocket(beside) ? beside : path);
}

/** A process may serve several targets, and the control socket beside each socket leads to all of them. */
export function targetOf(socket: string): JsonObject {
  const path = resolve(socket);
  return isSocket(controlPath(path)) ? { target: path } : {};
}

/** Control sockets in the runtime directory: what runs with default names, or ran until it was killed. */
export function controlSockets(): string[] {
  const directory = runtimeDirectory();
  return readdirSync(directory)
    .filter((name) => name.endsWith(CONTROL))
    .map((name) => join(directory, name));
}

/** What cannot be looked at is none; whoever uses it then says why. */
function isSocket(path: string): boolean {
  try {
    return lstatSync(path).isSocket();
  } catch {
    return false;
  }
}
