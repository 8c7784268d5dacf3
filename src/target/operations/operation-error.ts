/** Why an operation failed, as JSON: it may have happened in another thread or another process. */
import { LunportError } from '../errors.ts';
import type { Json } from './operation.ts';

/** Codes of LunportError that JSON-RPC has numbers of its own for. */
export const ErrorCode = {
  UNKNOWN_OPERATION: 'unknown-operation',
  INVALID_PARAMETERS: 'invalid-parameters',
  DEFECT: 'defect',
} as const;

export interface ErrorJson {
  readonly [key: string]: Json;
  readonly code: string;
  readonly object: string;
  readonly message: string;
}

/** A defect of ours keeps its message and loses its stack, which is for the log. */
export function errorToJson(error: unknown): ErrorJson {
  if (!(error instanceof LunportError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { code: ErrorCode.DEFECT, object: 'lunport', message: `a defect of lunport's own: ${message}` };
  }
  const { code, object, message, hint } = error;
  return { code, object, message, ...(hint === undefined ? {} : { hint }) };
}

export function errorFromJson(json: ErrorJson): LunportError {
  const { code, object, message } = json;
  return new LunportError({ code, object, message, hint: json.hint as string | undefined });
}
