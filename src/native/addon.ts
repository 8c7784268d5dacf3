/**
 * The raw face of the C++ addon: exactly the functions it exports, and nothing else.
 *
 * Conventions, so that the C++ stays small enough to audit in one sitting:
 * - A function that can fail returns a negative errno (`-2` is ENOENT); it never throws for an operating
 *   system error. `errno.ts` turns that number into an error a person can read.
 * - Memory is named by (region id, offset, length), never by address; the addon checks each against its own
 *   table, so no value that a guest chose can become a pointer.
 * - Offsets and lengths are Numbers, exact below 2^53; anything else is refused with -EINVAL. A descriptor
 *   that is no descriptor number (NaN, say) is refused with -EBADF.
 * - An argument of the wrong type throws a TypeError: a defect of ours.
 *
 * No other folder loads the addon; import the typed wrappers beside this file instead.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import load from 'node-gyp-build';
import { LunportError } from './errno.ts';

/** A poll handle on the environment's own libuv loop. It keeps the process alive unless unref'd. */
export interface RawPoll {
  /** Stops the callbacks; the descriptor stays open and may be closed now. Safe to call twice. */
  stop(): void;
  /** Lets the process exit although this handle is active. */
  unref(): void;
  /** Changes the awaited events (0 none, 1 readable, 2 writable, 3 both). */
  events(mask: number): void;
}

/**
 * The io engine: one per shard. Submissions and completions travel in three tables that both sides map:
 *
 * `submissions`, Float64Array, 8 numbers each: kind, slot, file (fd, or region id for ram kinds), flags,
 * offset (bytes), length (bytes), first row in `vectors`, number of rows.
 * `vectors`, Float64Array, 3 numbers each: region id, offset (bytes), length (bytes).
 * `completions`, Int32Array, 2 numbers each: slot, result (bytes moved, or a negative errno).
 *
 * A row with a bad number completes with -EINVAL, one with a bad descriptor number with -EBADF, one whose
 * vectors are not inside a usable region with -EFAULT; none of them has touched anything. The vectors must add
 * up to `length`, and at most 2^31-1 bytes move in one operation. Kinds and flags: engine-spec.ts.
 */
export interface RawEngine {
  readonly mode: 'io_uring' | 'threads';
  /** A row for each slot: as many as the engine is deep, and its copies. */
  readonly submissions: ArrayBuffer;
  readonly vectors: ArrayBuffer;
  /** As many rows: `submit` and `reap` never have more to say. */
  readonly completions: ArrayBuffer;
  /**
   * Starts the first `count` rows of `submissions`; returns how many rows of `completions` it filled. Throws,
   * and has started nothing, when a row names no slot or one in use.
   */
  submit(count: number): number;
  /** Collects finished operations, all there are; returns how many rows of `completions` it filled. */
  reap(): number;
  /**
   * Asks for an early end of the operation in `slot`; it still completes exactly once, by a later `submit` or
   * `reap` (-ECANCELED or its result). Does nothing to a slot that is not running.
   */
  cancel(slot: number): void;
  /**
   * Reads of this file with IoFlag.INLINE may be copies from a mapping of its page cache, until the addon closes it,
   * as it must be closed. Does nothing to a file that cannot be read so.
   */
  mapReads(fd: number): void;
  /** Frees ring, threads and poll handle. Throws when operations are still running. Safe to call twice. */
  close(): void;
}

/**
 * Commands to a device's driver by io_uring, in two tables that both sides map:
 *
 * `submissions`, Float64Array, 9 numbers each: slot, fd, command, word 0, word 1, region id or -1, offset (bytes),
 * length (bytes), data. The payload of the command is word 0, word 1 (32 bits each), the address of that memory (0
 * for none) and data (64 bits); the memory stays mapped until the command has come back.
 * `completions`, Int32Array, 2 numbers each: slot, result.
 */
export interface RawCommandRing {
  /** As many rows as the ring is deep. */
  readonly submissions: ArrayBuffer;
  readonly completions: ArrayBuffer;
  /**
   * Sends the first `count` rows and collects what has completed; returns how many rows of `completions` it filled.
   * -EINVAL when a row names no slot or one in use, -EFAULT when its memory is not inside a region: nothing was sent.
   */
  exchange(count: number): number;
  /** -EBUSY while commands run. Safe to call twice. */
  close(): number;
}

export interface Addon {
  /** 'sanitized' when built with AddressSanitizer, else 'release'. */
  readonly build: 'release' | 'sanitized';

  close(fd: number): number;
  /**
   * Closes what a peer sent, and never waits for whoever is behind it: an eventfd or a memfd at once, anything else on
   * another thread, soon.
   */
  closeForeign(fd: number): number;
  /** Whether it is a Unix stream socket. Never blocks. */
  isUnixStream(fd: number): boolean;
  eventfd(): number;
  /**
   * Adds 1 to an eventfd; EAGAIN (counter full) counts as success. See `setNonblocking`. -EBUSY when the peer had
   * cleared that flag and filled the counter: some milliseconds were lost, and it should not get a second chance.
   */
  signal(fd: number): number;
  /** What a peer wants signalled must be one: writing to anything else may do anything, or take for ever. */
  isEventfd(fd: number): boolean;
  /** Whether it is a memfd, or a file on tmpfs or hugetlbfs: memory that nobody has to be asked for. Never blocks. */
  isSharedMemory(fd: number): boolean;
  /** Empties an eventfd, and never blocks: 1 when it held something, 0 when it was empty. */
  drain(fd: number): number;
  /**
   * Sets O_NONBLOCK. A must for every descriptor that a peer sent and we write to: writing to its full eventfd
   * would block the whole loop.
   */
  setNonblocking(fd: number): number;
  /** An anonymous file of `length` bytes; a sealed one can be neither shortened nor lengthened by anybody. */
  memfd(name: string, length: number, sealed?: boolean): number;
  blockDevice(fd: number):
    | {
        size: number;
        logicalBlockSize: number;
        physicalBlockSize: number;
        rotational: boolean;
        readOnly: boolean;
        /** Bytes; 0 when it cannot discard. */
        discardGranularity: number;
      }
    | number;
  /**
   * Alignment in bytes that O_DIRECT needs: `memory` for buffers, `offset` for file offsets and lengths (statx
   * STATX_DIOALIGN, Linux 6.1). -EOPNOTSUPP when the file cannot do it.
   */
  directAlignment(fd: number): { memory: number; offset: number } | number;
  /** Open file description locks (F_OFD_SETLK, F_OFD_GETLK); type: 0 read, 1 write, 2 unlock. */
  lockRange(fd: number, type: number, start: number, length: number): number;
  /** Whether another open file description's lock would stop this one: 1 yes, 0 no. */
  testLock(fd: number, type: number, start: number, length: number): number;
  /** Makes a hole at once, blocking: for probing what a file can do. The io engine does it in the background. */
  punchHole(fd: number, offset: number, length: number): number;
  /** First offset ≥ `from` holding data (whence 0, SEEK_DATA) or a hole (whence 1, SEEK_HOLE); -ENXIO past the end. */
  seekExtent(fd: number, from: number, whence: number): number;
  /** A system call on a thread of its own: see detached.ts. Resolves with its result, or -errno. */
  detached(call: number, fd: number, value: number): Promise<number>;
  /** Resolves when the file system behind `path` has answered, with 0 or -errno. */
  reach(path: string): Promise<number>;
  /** Copies `length` bytes within the kernel, on a thread; resolves to how many, or to -errno when it cannot. */
  copyFileRange(fromFd: number, from: number, toFd: number, to: number, length: number): Promise<number>;

  /** The socket's file has mode 0600 from its first moment. */
  unixListen(path: string, backlog: number): number;
  unixConnect(path: string): number;
  unixAccept(fd: number): number;
  /** The absolute path of a Unix socket that listens; sets O_NONBLOCK and FD_CLOEXEC. An errno for anything else. */
  adoptListener(fd: number): string | number;
  peerCredentials(fd: number): { pid: number; uid: number; gid: number } | number;
  /**
   * Receives into bytes[at, at+length); received descriptors go to `fds`, their count to fdCount[0]. 0: end of
   * stream. With more descriptors than `fds` has room for all are closed and the result is -EMSGSIZE; -EMFILE,
   * and all closed, when this process may not have so many.
   */
  receive(
    fd: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    fds: Int32Array,
    fdCount: Int32Array,
  ): number;
  /** Sends bytes[at, at+length) with the first `fdCount` descriptors of `fds` attached (at most 253). */
  send(fd: number, bytes: Uint8Array, at: number, length: number, fds: Int32Array, fdCount: number): number;

  /** Listens on a numeric address; port 0 takes a free one. Connections send small packets at once (TCP_NODELAY). */
  tcpListen(host: string, port: number, backlog: number): number;
  localAddress(fd: number): { host: string; port: number } | number;
  peerAddress(fd: number): { host: string; port: number } | number;
  /**
   * Receives into `count` (at most 256) chunks, each a range of a Uint8Array: `ranges` has offset and length of each.
   * 0: end of stream.
   */
  receiveVector(fd: number, chunks: readonly Uint8Array[], ranges: Float64Array, count: number): number;
  sendVector(fd: number, chunks: readonly Uint8Array[], ranges: Float64Array, count: number): number;
  /** Nothing more will be sent; the peer reads an end of stream. */
  shutdownWrite(fd: number): number;

  /** Whether the processor has an instruction for it; `crc32c` may be called only then. */
  readonly hasCrc32c: boolean;
  /** CRC-32C of bytes[at, at+length), continuing from `crc`. */
  crc32c(bytes: Uint8Array, at: number, length: number, crc: number): number;

  /**
   * -EPERM for what cannot be polled (a regular file), -EEXIST when this descriptor is polled already. The
   * callback gets the events (1 readable, 2 writable), or a negative errno when the poll has stopped for good:
   * the descriptor is in an error state, such as a connection that was reset.
   */
  poll(fd: number, events: number, callback: (events: number) => void): RawPoll | number;
  /**
   * A poll that empties the eventfd itself before it calls back: one JavaScript call per wake-up, no system
   * call of ours. -EINVAL when `fd` is no eventfd. The callback gets 1, or a negative errno as with `poll`.
   */
  pollEventfd(fd: number, callback: (events: number) => void): RawPoll | number;

  /**
   * Maps `length` bytes of a regular file from `fileOffset`, shared and writable; returns a region id (small
   * integer ≥ 0). -EINVAL when fstat says that the file is shorter, -ENODEV when it is no regular file. Keeps
   * its own mapping; the caller may close the fd. `hugepages` asks for transparent huge pages: most systems
   * grant them to anonymous memory only.
   */
  mapRegion(fd: number, fileOffset: number, length: number, hugepages: boolean): number;
  /** The same for private memory that starts as zeroes, and is used up where it is touched. */
  mapAnonymous(length: number, hugepages: boolean): number;
  /** Memory of a device that its driver fills: whoever writes to the window crashes. Otherwise like `mapRegion`. */
  mapReadOnly(fd: number, length: number): number;
  /**
   * A region of `count` buffers, `each` bytes long, which a driver lends to an io_uring on command: no memory, only
   * READ_FILE and WRITE_FILE of an engine with io_uring move its data, one buffer in each.
   */
  lendKernelBuffers(
    fd: number,
    count: number,
    each: number,
    borrowCommand: number,
    giveBackCommand: number,
  ): number;
  /**
   * The region is seen through windows of at most 2 GiB that start every 1 GiB: any range up to 1 GiB lies whole
   * inside the one at index min(floor(offset / 1 GiB), count - 1). A window is made when it is first asked for:
   * V8 takes it for 2 GiB of garbage to come, and collects.
   */
  regionWindow(region: number, index: number): ArrayBuffer | undefined;
  /** All of them. */
  regionWindows(region: number): ArrayBuffer[];
  /**
   * Windows that are still held show private zeroes from now on. -EBUSY while an operation of any engine still uses the
   * region.
   */
  unmapRegion(region: number): number;
  /** Whether a SIGBUS hit the region (its file was truncated): it holds zeroes now and must be given up. */
  regionBroken(region: number): boolean;
  /** One Uint32 that counts SIGBUS faults of this process: one cheap read tells whether to ask regionBroken. */
  readonly faultCounter: ArrayBuffer;

  createEngine(options: {
    depth: number;
    /** Further slots, after these, for what is done to memory. Default: 0 */
    copies?: number;
    maxVectors: number;
    mode: 'auto' | 'io_uring' | 'threads';
    threads: number;
    /** Something finished in the background: call `reap`. */
    onReady: () => void;
  }): RawEngine | number;
  /** `onReady`: something has completed, call `exchange`. A negative errno where io_uring cannot do it. */
  createCommandRing(depth: number, onReady: () => void): RawCommandRing | number;
  /** Why io_uring cannot be used: 0 usable, else a negative errno. */
  probeIoUring(): number;
  /** The numbers of native/src/engine_spec.h. */
  readonly engineSpec: {
    kinds: Record<string, number>;
    flags: Record<string, number>;
    columns: Record<string, number>;
  };

  /**
   * Starts the program at `path`, with nothing to read, `descriptor` as its 3 unless it is -1, and no other descriptor of
   * ours. `args` begin with its name. `pidfd` is readable once it has ended; all three are the caller's.
   */
  spawnProgram(
    path: string,
    args: readonly string[],
    environment: readonly string[],
    descriptor: number,
  ): { readonly pidfd: number; readonly output: number; readonly errors: number } | number;
  /** Once, when `pidfd` is readable: the program's status, 256 and the number of the signal that ended it, or -errno. */
  reapProgram(pidfd: number): number;
  /** Has the kernel end this process by SIGKILL then, whatever runs in it; not to be taken back. 0 or -errno. */
  killAfter(seconds: number): number;
  /** Sends one datagram to systemd's socket (an absolute path, or '@' and an abstract name). */
  notifySupervisor(socket: string, message: string): number;
}

/** Where package.json and native/ are: above src/ or dist/src/, whichever this file runs from. */
function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'native', 'binding.gyp'))) {
    const parent = dirname(folder);
    if (parent === folder) return import.meta.dirname;
    folder = parent;
  }
  return folder;
}

function loadAddon(): Addon {
  const root = join(packageRoot(), 'native');
  // For a build of one's own, such as the sanitized one.
  const override = process.env['LUNPORT_ADDON'];
  try {
    return (override ? createRequire(import.meta.url)(override) : load(root)) as Addon;
  } catch (cause) {
    throw new LunportError({
      code: 'addon-not-loaded',
      object: override ?? root,
      message: `Cannot load lunport's native addon for ${process.platform}-${process.arch}, Node.js ${process.version}`,
      hint: [
        'Possible solutions:',
        '- lunport runs on Linux with Node.js 20.19 or newer; x86-64 with glibc has a prebuilt addon.',
        '- Build it here: `npx node-gyp rebuild -C native` in the package folder (needs python3, make, g++).',
        '- In a source checkout: `make build`.',
        '- After a change of the Node.js version or of the C library: build it again.',
      ].join('\n'),
      cause,
    });
  }
}

export const addon: Addon = loadAddon();
