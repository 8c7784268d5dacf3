/**
 * What a control operation is: a schema of its parameters and a function on some context, mostly on the content of
 * one event loop (`Server`). It gets and gives plain JSON, so that it can run in another thread than was asked.
 */
import { z } from 'zod';
import { LunportError } from '../errors.ts';
import { ErrorCode } from './operation-error.ts';

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** Which event loops an operation concerns, when there are several. */
export const Scope = {
  /** The one that has the target named by `target`; where only one target is served, the name may be left out. */
  TARGET: 'target',
  /** All of them; their answers become one by `merge`. */
  ALL: 'all',
} as const;
type Scope = (typeof Scope)[keyof typeof Scope];

/** Parameters and result as a table holds them, whatever they are. */
export interface Operation<Context> {
  /** One sentence for the documentation. */
  readonly description: string;
  readonly schema: z.ZodType;
  readonly scope: Scope;
  /** Whether it changes what is served: such operations run one after the other. */
  readonly changes: boolean;
  /** Throws LunportError. */
  readonly run: (context: Context, params: unknown) => Promise<Json>;
  readonly merge: (results: readonly Json[]) => Json;
}

interface OperationFields<Context, P, R extends Json> {
  readonly description: string;
  readonly schema: z.ZodType<P>;
  readonly scope: Scope;
  readonly changes?: boolean;
  readonly run: (context: Context, params: P) => Promise<R>;
  readonly merge?: (results: readonly R[]) => R;
}

/** Checks that `run` and `merge` fit the schema, and forgets the types. */
export function operation<Context, P, R extends Json>(
  fields: OperationFields<Context, P, R>,
): Operation<Context> {
  const { description, schema, scope, changes = false, run, merge } = fields;
  return {
    description,
    schema,
    scope,
    changes,
    run: (context, params) => run(context, params as P),
    merge: (results) => (merge ? merge(results as readonly R[]) : results[0]),
  };
}

/** Checks the parameters and runs it. Throws LunportError: see ErrorCode. */
export async function perform<Context>(
  { schema, run }: Operation<Context>,
  name: string,
  context: Context,
  params: unknown,
): Promise<Json> {
  const checked = schema.safeParse(params ?? {});
  if (checked.success) return run(context, checked.data);
  throw new LunportError({
    code: ErrorCode.INVALID_PARAMETERS,
    object: name,
    message: `${name}: ${z.prettifyError(checked.error).replaceAll('\n', ' ')}`,
    hint: 'docs/control.md lists the parameters of each operation.',
  });
}
