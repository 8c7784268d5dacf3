/** What the control plane and a shard in a worker thread say to each other: plain data, structured-cloneable. */
import { UsageError } from '../disk-spec.ts';
import { LunportError } from '../errors.ts';
import type { ServerOptions, TargetSpec } from '../server.ts';

/** What a worker is started with. It opens its server at once, and answers that as request 0. */
export interface ShardSetup {
  readonly specs: readonly TargetSpec[];
  readonly options: ShardOptions;
}

/** Log lines are messages. */
export type ShardOptions = Omit<ServerOptions, 'log'>;

/** What is asked; the answer is what the method of that name of ServerHost gives. */
export type ShardQuestion =
  | { readonly name: 'describe' | 'close' }
  | { readonly name: 'call'; readonly operation: string; readonly params: unknown };

export type ShardRequest = ShardQuestion & {
  /** Counted from 1; OPENING is the worker's start. */
  readonly id: number;
};

export const OPENING = 0;

export type ShardMessage =
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: PlainError }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly text: string };

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** An error without its class, which would not survive the way. */
export interface PlainError {
  readonly kind: 'lunport' | 'usage' | 'other';
  readonly message: string;
  readonly code?: string;
  readonly object?: string;
  readonly hint?: string;
  readonly stack?: string;
}

export function plainError(error: unknown): PlainError {
  if (error instanceof LunportError) {
    const { code, object, message, hint, stack } = error;
    return { kind: 'lunport', code, object, message, hint, stack };
  }
  if (error instanceof UsageError) return { kind: 'usage', message: error.message };
  if (error instanceof Error) return { kind: 'other', message: error.message, stack: error.stack };
  return { kind: 'other', message: String(error) };
}

export function revivedError({ kind, message, code = '', object = '', hint, stack }: PlainError): Error {
  if (kind === 'usage') return new UsageError(message);
  const error = kind === 'lunport' ? new LunportError({ code, object, message, hint }) : new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
