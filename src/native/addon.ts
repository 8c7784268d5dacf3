/**
 * The raw face of the C++ addon: exactly the functions it exports, and nothing else.
 *
 * Conventions, so that the C++ stays small enough to audit in one sitting:
 * - A function that can fail returns a negative errno (`-2` is ENOENT); it never throws for an operating
 *   system error. `errno.ts` turns that number into an error a person can read.
 * - Memory is named by (region id, offset, length), never by address; the addon checks each against its own
 *   table, so no value that a guest chose can become a pointer.
 * - Offsets and lengths are Numbers, exact below 2^53; anything else is refused with -EINVAL.
 *
 * No other folder loads the addon; import the typed wrappers beside this file instead.
 */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import load from 'node-gyp-build';

/** A poll handle on the environment's own libuv loop. */
export interface RawPoll {
  /** Stops the callbacks; the descriptor stays open. Safe to call twice. */
  stop(): void;
  /** Lets the process exit although this handle is active. */
  unref(): void;
  /** Changes the awaited events (1 readable, 2 writable, 3 both). */
  events(mask: number): void;
}

/**
 * The io engine: one per shard. Submissions and completions travel in three tables that both sides map:
 *
 * `submissions`, Float64Array, 8 numbers each: kind, slot, file (fd, or region id for ram kinds), flags,
 * offset (bytes), length (bytes), first row in `vectors`, number of rows.
 * `vectors`, Float64Array, 3 numbers each: region id, offset (bytes), length (bytes).
 * `completions`, Int32Array, 2 numbers each: slot, result (bytes moved, or a negative errno).
 */
export interface RawEngine {
  readonly mode: 'io_uring' | 'threads';
  readonly submissions: ArrayBuffer;
  readonly vectors: ArrayBuffer;
  readonly completions: ArrayBuffer;
  /** Starts the first `count` rows of `submissions`; returns how many rows of `completions` it filled. */
  submit(count: number): number;
  /** Collects finished operations; returns how many rows of `completions` it filled (0: none left). */
  reap(): number;
  /** Asks for an early end of the operation in `slot`; it still completes exactly once (-ECANCELED or its result). */
  cancel(slot: number): void;
  /** Frees ring, threads and poll handle. Throws when operations are still running. */
  close(): void;
}

export interface Addon {
  close(fd: number): number;
  eventfd(): number;
  /** Adds 1 to an eventfd; EAGAIN (counter full) counts as success. */
  signal(fd: number): number;
  /** Empties an eventfd; returns 0 when it was already empty. */
  drain(fd: number): number;
  /** An anonymous file of `length` bytes; `hugepages` asks for transparent huge pages when mapped. */
  memfd(name: string, length: number): number;
  blockDevice(
    fd: number,
  ):
    | {
        size: number;
        logicalBlockSize: number;
        physicalBlockSize: number;
        rotational: boolean;
        discardGranularity: number;
      }
    | number;
  /** Alignment in bytes that O_DIRECT needs: `memory` for buffers, `offset` for file offsets and lengths (statx STATX_DIOALIGN). */
  directAlignment(fd: number): { memory: number; offset: number } | number;
  /** Open file description locks (F_OFD_SETLK, F_OFD_GETLK); type: 0 read, 1 write, 2 unlock. */
  lockRange(fd: number, type: number, start: number, length: number): number;
  /** Whether another open file description's lock would stop this one: 1 yes, 0 no. */
  testLock(fd: number, type: number, start: number, length: number): number;
  /** First offset ≥ `from` holding data (whence 0, SEEK_DATA) or a hole (whence 1, SEEK_HOLE); -ENXIO past the end. */
  seekExtent(fd: number, from: number, whence: number): number;

  unixListen(path: string, backlog: number): number;
  unixConnect(path: string): number;
  unixAccept(fd: number): number;
  peerCredentials(fd: number): { pid: number; uid: number; gid: number } | number;
  /** Receives into bytes[at, at+length); received descriptors go to `fds`, their count to fdCount[0]. Descriptors beyond `fds.length` are closed and -EMSGSIZE is returned. 0: end of stream. */
  receive(
    fd: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    fds: Int32Array,
    fdCount: Int32Array,
  ): number;
  /** Sends bytes[at, at+length) with the first `fdCount` descriptors of `fds` attached. */
  send(fd: number, bytes: Uint8Array, at: number, length: number, fds: Int32Array, fdCount: number): number;

  poll(fd: number, events: number, callback: (events: number) => void): RawPoll;
  /** A poll that empties the eventfd itself before it calls back: one JavaScript call per wake-up, no system call of ours. */
  pollEventfd(fd: number, callback: () => void): RawPoll;

  /** Maps `length` bytes of `fd` from `fileOffset` shared and writable; returns a region id (small integer ≥ 0). -EINVAL when fstat says that the file is shorter. Keeps its own mapping; the caller may close the fd. */
  mapRegion(fd: number, fileOffset: number, length: number, hugepages: boolean): number;
  /** The region as windows of at most 2 GiB that start every 1 GiB: any range up to 1 GiB lies whole inside one of them. */
  regionWindows(region: number): ArrayBuffer[];
  /** Detaches the windows and unmaps; -EBUSY while an operation of any engine still uses the region. */
  unmapRegion(region: number): number;
  /** Whether a SIGBUS hit the region (its file was truncated): it holds zeroes now and must be given up. */
  regionBroken(region: number): boolean;
  /** One Uint32 that counts SIGBUS faults of this process: one cheap read tells whether to ask regionBroken. */
  readonly faultCounter: ArrayBuffer;

  createEngine(options: {
    depth: number;
    maxVectors: number;
    mode: 'auto' | 'io_uring' | 'threads';
    threads: number;
    onReady: () => void;
  }): RawEngine | number;
  /** Why io_uring cannot be used: 0 usable, else errno. */
  probeIoUring(): number;
  notifySupervisor(message: string): number;
}
