/**
 * JSON-RPC 2.0 (jsonrpc.org/specification) as the control socket speaks it: one message per line. Reads and makes
 * messages; it knows no socket.
 */
import { z } from 'zod';
import type { Json, JsonObject } from './operations/operation.ts';
import { ErrorCode, errorToJson } from './operations/operation-error.ts';

/** Section 5.1; the last one is of the range for implementations. */
const RpcCode = {
  PARSE_ERROR: -32700,
  INVALID_REQUEST: -32600,
  METHOD_NOT_FOUND: -32601,
  INVALID_PARAMS: -32602,
  INTERNAL_ERROR: -32603,
  FAILED: -32000,
} as const;

const CODES: Readonly<Record<string, number>> = {
  [ErrorCode.UNKNOWN_OPERATION]: RpcCode.METHOD_NOT_FOUND,
  [ErrorCode.INVALID_PARAMETERS]: RpcCode.INVALID_PARAMS,
  [ErrorCode.DEFECT]: RpcCode.INTERNAL_ERROR,
};

const requestSchema = z.strictObject({
  jsonrpc: z.literal('2.0'),
  method: z.string().max(64),
  params: z.record(z.string(), z.unknown()).optional(),
  /** Absent: a notification, which gets no answer. */
  id: z.union([z.string().max(256), z.number(), z.null()]).optional(),
});

export type RpcRequest = z.infer<typeof requestSchema>;
type RpcId = string | number | null;

/** The peer does not speak the protocol: it is told so, and hung up on. */
export class RpcProtocolError extends Error {
  readonly response: string;

  constructor(code: number, message: string) {
    super(message);
    this.response = encode({ jsonrpc: '2.0', id: null, error: { code, message } });
  }
}

export class MessageTooLongError extends RpcProtocolError {
  constructor(limit: number) {
    super(RpcCode.INVALID_REQUEST, `a message of more than ${limit} bytes`);
  }
}

/** Throws RpcProtocolError. */
export function parseRequest(line: string): RpcRequest {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch (error) {
    throw new RpcProtocolError(RpcCode.PARSE_ERROR, `not JSON: ${(error as Error).message}`);
  }
  if (Array.isArray(message)) {
    throw new RpcProtocolError(RpcCode.INVALID_REQUEST, 'batches are not served; send one request per line');
  }
  const checked = requestSchema.safeParse(message);
  if (checked.success) return checked.data;
  const reason = z.prettifyError(checked.error).replaceAll('\n', ' ');
  throw new RpcProtocolError(RpcCode.INVALID_REQUEST, `not a JSON-RPC 2.0 request: ${reason}`);
}

export function encodeRequest(id: number, method: string, params: JsonObject): string {
  return encode({ jsonrpc: '2.0', id, method, params });
}

export function encodeResult(id: RpcId, result: Json): string {
  return encode({ jsonrpc: '2.0', id, result });
}

export function encodeFailure(id: RpcId, failure: unknown): string {
  const data = errorToJson(failure);
  const code = CODES[data.code] ?? RpcCode.FAILED;
  return encode({ jsonrpc: '2.0', id, error: { code, message: data.message, data } });
}

function encode(message: JsonObject): string {
  return `${JSON.stringify(message)}\n`;
}
