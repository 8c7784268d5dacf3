/**
 * A FUSE connection: reads requests from /dev/fuse as they come, and answers them in any order. When this process
 * dies the kernel ends the connection, and whoever waits gets an error: nobody hangs.
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import { addon, type RawPoll } from '../../native/addon.ts';
import { checked, systemError } from '../../native/errno.ts';
import type { BlockInitiator } from '../loopback/block-initiator.ts';
import { DiskFile } from './disk-file.ts';
import { FuseRequest, type FuseRequestOwner } from './fuse-request.ts';

const READABLE = 1;
/** Requests at a time; the kernel keeps the others. Each has a buffer of a little more than 1 MiB, once used. */
const MAX_REQUESTS = 64;
/** Seconds. */
const REQUEST_TIMEOUT = 120;
/** How the file system goes away in an orderly manner; and requests that ended before we read them. */
const UNMOUNTED = 'ENODEV';
const PASSING: ReadonlySet<string> = new Set(['EAGAIN', 'EINTR', 'ENOENT']);

export interface FuseSessionOwner {
  /** The file system was unmounted, or its connection broke: `error` tells which. */
  sessionEnded(error: Error | undefined): void;
}

export class FuseSession implements FuseRequestOwner {
  readonly file: DiskFile;
  readonly requestTimeout: number;
  private readonly fd: number;
  private readonly owner: FuseSessionOwner;
  private readonly poll: RawPoll;
  private readonly free: FuseRequest[] = [];
  private readonly running = new Set<FuseRequest>();
  private requests = 0;
  private listening = true;
  private closed = false;
  private whenIdle: (() => void) | undefined = undefined;

  /** `fd` is its own from now on; see `mountFuse`. `requestTimeout`: seconds, which the kernel counts in quarters of a minute. */
  constructor(
    fd: number,
    device: BlockInitiator,
    owner: FuseSessionOwner,
    requestTimeout: number = REQUEST_TIMEOUT,
  ) {
    this.requestTimeout = requestTimeout;
    this.fd = fd;
    this.owner = owner;
    this.file = new DiskFile(device);
    checked(addon.setNonblocking(fd), 'use', '/dev/fuse');
    const poll = addon.poll(fd, READABLE, (events) => this.readable(events));
    if (typeof poll === 'number') throw systemError(poll, 'wait for', '/dev/fuse');
    this.poll = poll;
  }

  /** Stops answering; resolves when no request touches its buffer any more. The kernel then ends the connection. */
  async close(): Promise<void> {
    if (!this.closed) {
      this.closed = true;
      this.poll.stop();
      for (const request of this.running) request.running?.abort();
    }
    if (this.running.size > 0) {
      await new Promise<void>((resolve) => {
        this.whenIdle = resolve;
      });
    }
    closeSync(this.fd);
    const { memory } = this.file.device.environment;
    for (const { buffer } of this.free) memory.release(buffer.scratch);
    this.free.length = 0;
  }

  write(bytes: Uint8Array, at: number, length: number): void {
    if (this.closed) return;
    try {
      writeSync(this.fd, bytes, at, length);
    } catch (error) {
      // ENOENT: the kernel gave the request up; nobody waits for the answer.
      if (!PASSING.has((error as NodeJS.ErrnoException).code ?? '')) this.end(error as Error);
    }
  }

  interrupt(uniqueHigh: number, uniqueLow: number): void {
    for (const request of this.running) {
      if (request.uniqueHigh !== uniqueHigh || request.uniqueLow !== uniqueLow) continue;
      request.interrupted = true;
      request.running?.abort();
    }
  }

  retire(request: FuseRequest): void {
    this.running.delete(request);
    this.free.push(request);
    if (this.closed) {
      if (this.running.size === 0) this.whenIdle?.();
    } else this.listen();
  }

  /** One request per turn of the event loop: asking until there are no more would cost an exception each time. */
  private readable(events: number): void {
    if (events < 0) {
      this.end(undefined);
      return;
    }
    const request = this.free.pop() ?? this.newRequest();
    let length: number;
    try {
      length = request.buffer.fill((into, at, room) => readSync(this.fd, into, at, room, null));
    } catch (error) {
      this.free.push(request);
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!PASSING.has(code)) this.end(code === UNMOUNTED ? undefined : (error as Error));
      return;
    }
    if (length === 0) {
      this.free.push(request);
      this.end(undefined);
      return;
    }
    this.running.add(request);
    request.perform();
    this.listen();
  }

  private newRequest(): FuseRequest {
    this.requests++;
    return new FuseRequest(this, this.file.device.environment.memory);
  }

  /** While every buffer is in use, requests wait in the kernel. */
  private listen(): void {
    const listening = this.free.length > 0 || this.requests < MAX_REQUESTS;
    if (listening === this.listening) return;
    this.listening = listening;
    this.poll.events(listening ? READABLE : 0);
  }

  private end(error: Error | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.poll.stop();
    for (const request of this.running) request.running?.abort();
    this.owner.sessionEnded(error);
  }
}
