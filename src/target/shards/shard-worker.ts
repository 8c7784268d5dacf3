/** The worker thread's side of a shard: one server, its addon instance and its heap, asked by messages. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Log } from '../server.ts';
import { LocalHost } from '../server-host.ts';
import {
  type LogLevel,
  OPENING,
  plainError,
  type ShardMessage,
  type ShardRequest,
  type ShardSetup,
} from './shard-messages.ts';

const port = parentPort!;

function post(message: ShardMessage): void {
  port.postMessage(message);
}

function logger(level: LogLevel): (text: string) => void {
  return (text) => post({ kind: 'log', level, text });
}

async function answer(id: number, value: Promise<unknown>): Promise<void> {
  try {
    post({ kind: 'answer', id, value: await value });
  } catch (error) {
    post({ kind: 'failure', id, error: plainError(error) });
  }
}

async function answerTo(request: ShardRequest): Promise<unknown> {
  const host = await opening;
  switch (request.name) {
    case 'describe':
      return host.describe();
    case 'call':
      return host.call(request.operation, request.params);
    case 'close':
      return host.close();
  }
}

const { specs, options } = workerData as ShardSetup;
const log: Log = {
  debug: logger('debug'),
  info: logger('info'),
  warn: logger('warn'),
  error: logger('error'),
};
const opening = LocalHost.open(specs, { ...options, log });
port.on('message', (request: ShardRequest) => void answer(request.id, answerTo(request)));
void answer(
  OPENING,
  opening.then(() => undefined),
);
