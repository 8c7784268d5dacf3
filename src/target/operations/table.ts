/** The table of control operations on what one event loop serves. A new one is a row here and a file beside this. */
import { LunportError } from '../errors.ts';
import type { Server } from '../server.ts';
import { attach, detach } from './attach.ts';
import { add, remove, resize } from './disks.ts';
import { execute } from './execute.ts';
import { list } from './list.ts';
import { metrics } from './metrics.ts';
import { type Json, type Operation, perform } from './operation.ts';
import { ErrorCode } from './operation-error.ts';

export const OPERATIONS: Readonly<Record<string, Operation<Server>>> = {
  list,
  metrics,
  add,
  remove,
  resize,
  attach,
  detach,
  execute,
};

/** Runs an operation in the event loop of `server`. Throws LunportError; anything else is a defect of ours. */
export function runOperation(server: Server, name: string, params: unknown): Promise<Json> {
  return perform(findOperation(OPERATIONS, name), name, server, params);
}

/** Throws LunportError. */
export function findOperation<T>(table: Readonly<Record<string, T>>, name: string): T {
  if (Object.hasOwn(table, name)) return table[name];
  throw new LunportError({
    code: ErrorCode.UNKNOWN_OPERATION,
    object: name,
    message: `There is no operation "${name}"`,
    hint: 'docs/control.md lists them; an older lunport may be running.',
  });
}
