/** Cuts a stream of bytes into lines of bounded length. */
import type { Readable } from 'node:stream';
import { MessageTooLongError } from './json-rpc.ts';

const NEWLINE = 0x0a;

/** Throws MessageTooLongError for a line of more than `limit` bytes; an unfinished last line is dropped. */
export async function* readLines(stream: Readable, limit: number): AsyncIterable<string> {
  let parts: Buffer[] = [];
  let length = 0;
  // The stream stays open at an error, so that the reason can be sent.
  for await (let chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE)) {
      if (length + end > limit) throw new MessageTooLongError(limit);
      parts.push(chunk.subarray(0, end));
      yield Buffer.concat(parts).toString('utf8');
      parts = [];
      length = 0;
      chunk = chunk.subarray(end + 1);
    }
    parts.push(chunk);
    length += chunk.length;
    if (length > limit) throw new MessageTooLongError(limit);
  }
}
