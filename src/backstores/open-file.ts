/**
 * Opens the file or block device behind a disk, and refuses, with a reason and a hint, whatever would surprise
 * later: a directory, an odd size, a qcow2 image taken for raw, an image that another process uses.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  realpathSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { addon } from '../native/addon.ts';
import { describeErrno, LunportError, systemError } from '../native/errno.ts';
import { lockImage } from '../native/file-lock.ts';
import { type CacheMode, isDirect } from './cache-mode.ts';

export interface FileOptions {
  readonly path: string;
  readonly readOnly: boolean;
  /** Bytes; for `create`. */
  readonly size?: number;
  /** Bytes per logical block. */
  readonly blockSize: number;
  readonly cache: CacheMode;
  /** Make the file, sparse, when it does not exist. */
  readonly create: boolean;
  /** Make a file longer that is shorter than `size`; default: refuse it. */
  readonly grow?: boolean;
  /** Others that say the same may use it too. */
  readonly share: boolean;
}

export interface OpenedFile {
  readonly fd: number;
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes per logical block. */
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly direct: boolean;
  /** Whether a system call ends without a server or a process being asked, which may never answer. */
  readonly prompt: boolean;
  readonly cache: CacheMode;
  /** Bytes; what O_DIRECT demands of the address of each piece of a buffer. */
  readonly memoryAlignment: number;
  /** And of its length, as of the place in the file (statx(2), stx_dio_offset_align). */
  readonly lengthAlignment: number;
  readonly punchHole: boolean;
  /** Bytes; the smallest hole. */
  readonly allocationUnit: number;
  readonly physicalBlockSize: number;
  readonly rotational: boolean;
  /** A regular one, not a block device. */
  readonly isFile: boolean;
  /** The size now, bytes; a block device answers at once, a file perhaps not. */
  measure(): number;
}

/** First bytes of image formats that must not be served as raw. */
const FOREIGN_FORMATS: readonly (readonly [name: string, magic: string])[] = [
  ['qcow2', 'QFI\xfb'],
  ['vmdk', 'KDMV'],
  ['vhdx', 'vhdxfile'],
  ['vdi', '<<< Oracle VM VirtualBox Disk Image >>>'],
];

/**
 * statfs(2): file systems that a kernel has on disks of its own, or in memory (/dev among them). All others, such as
 * FUSE and NFS, may let a system call wait for somebody who never answers.
 */
const PROMPT_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0xef53, // ext2 to ext4
  0x58465342, // XFS
  0x9123683e, // btrfs
  0xf2f52010, // F2FS
  0xca451a4e, // bcachefs
  0x2fc12fc1, // ZFS
  0x01021994, // tmpfs, devtmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlayfs
]);

export function openFile(options: FileOptions): OpenedFile {
  const direct = isDirect(options.cache);
  const fd = openDescriptor(options, direct);
  try {
    return inspect(fd, options, direct);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openDescriptor(options: FileOptions, direct: boolean): number {
  const { path } = options;
  const access = options.readOnly ? constants.O_RDONLY : constants.O_RDWR;
  const flags = access | (direct ? constants.O_DIRECT : 0);
  try {
    return openSync(path, flags);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' && options.create && !options.readOnly) return createFile(options, flags);
    throw openError(error as NodeJS.ErrnoException, options);
  }
}

function createFile(options: FileOptions, flags: number): number {
  const { path, size } = options;
  if (size === undefined) {
    throw new LunportError({
      code: 'size-missing',
      object: path,
      message: `Cannot create ${path}: a new disk needs a size`,
      hint: `write ${path},create,size=10G`,
    });
  }
  let fd: number;
  try {
    fd = openSync(path, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (error) {
    throw openError(error as NodeJS.ErrnoException, options);
  }
  try {
    ftruncateSync(fd, size);
    syncDirectoryOf(path);
    return fd;
  } catch (error) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw openError(error as NodeJS.ErrnoException, options);
  }
}

/** What is synced into a new file is lost with its name, which stands in the directory. */
function syncDirectoryOf(path: string): void {
  const directory = openSync(dirname(path), constants.O_RDONLY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function openError(error: NodeJS.ErrnoException, options: FileOptions): LunportError {
  const hints: Record<string, string> = {
    ENOENT: `to make a new disk there, write ${options.path},create,size=10G`,
    EACCES: options.readOnly
      ? 'give this user permission to read it'
      : `give this user permission to write it, or serve it read-only: ${options.path},ro`,
    EROFS: `the filesystem is read-only: serve it read-only with ${options.path},ro`,
    ETXTBSY: 'it is being executed; stop that program first',
    EINVAL: `its filesystem may not support O_DIRECT: use cache=writeback instead of cache=${options.cache}`,
    EISDIR: 'name a file or a block device, not a directory',
  };
  const [code, text] = describeErrno(error.errno ?? 0);
  const general = systemError(error.errno ?? 0, 'open', options.path, error);
  return new LunportError({
    code,
    object: options.path,
    message: `Cannot open the disk ${options.path}: ${text}`,
    hint: hints[code] ?? general.hint,
    cause: error,
  });
}

function inspect(fd: number, options: FileOptions, direct: boolean): OpenedFile {
  const path = realpathSync(options.path);
  const stat = fstatSync(fd);
  const refuse = (code: string, message: string, hint: string): never => {
    throw new LunportError({ code, object: options.path, message: `${options.path} ${message}`, hint });
  };
  if (stat.isDirectory()) refuse('EISDIR', 'is a directory', 'name a file or a block device');
  if (!stat.isFile() && !stat.isBlockDevice()) {
    refuse('not-a-disk', 'is neither a file nor a block device', 'name a regular file or a block device');
  }
  if (stat.isFile() && isUnfinished(stat.size, options)) {
    lockImage(fd, options.path, { write: true, share: options.share });
    ftruncateSync(fd, options.size);
    syncDirectoryOf(path);
  }
  const geometry = stat.isBlockDevice() ? blockGeometry(fd, path) : fileGeometry(stat.blksize);
  const measure = (): number => (stat.isBlockDevice() ? blockGeometry(fd, path).size! : fstatSync(fd).size);
  const size = measure();
  const { blockSize } = options;
  if (size === 0) refuse('size-zero', 'has size 0', `give it a size first: truncate -s 10G ${options.path}`);
  // First: an image of another format must not be rounded up.
  refuseForeignFormat(options);
  if (size % blockSize !== 0) {
    refuse(
      'size-odd',
      `has ${size} bytes, which is not a multiple of its block size of ${blockSize} bytes`,
      `round it up: truncate -s %${blockSize} ${options.path}`,
    );
  }
  // A disk that was made by `create` may have grown since.
  if (options.size !== undefined && (options.create ? size < options.size : size !== options.size)) {
    refuse(
      'size-differs',
      `has ${size} bytes, but size=${options.size} was asked for`,
      'leave out size= for a disk that exists, or change its size with truncate first',
    );
  }
  const alignment = direct ? directAlignment(fd, path) : { memory: 1, offset: 1 };
  if (blockSize % alignment.offset !== 0) {
    refuse(
      'direct-alignment',
      `needs O_DIRECT accesses of ${alignment.offset} bytes, more than its logical block of ${blockSize} bytes`,
      `use block-size=4096, or cache=writeback instead of cache=${options.cache}`,
    );
  }
  lockImage(fd, options.path, { write: !options.readOnly, share: options.share });
  return {
    fd,
    path,
    size,
    blockSize,
    direct,
    prompt: PROMPT_FILE_SYSTEMS.has(statfsSync(path).type),
    cache: options.cache,
    readOnly: options.readOnly,
    memoryAlignment: alignment.memory,
    lengthAlignment: alignment.offset,
    punchHole: geometry.punchHole ?? canPunchHoles(fd, size, options.readOnly),
    allocationUnit: geometry.allocationUnit,
    physicalBlockSize: geometry.physicalBlockSize,
    rotational: geometry.rotational,
    isFile: stat.isFile(),
    measure,
  };
}

/** Whoever made the file may have been killed before he gave it its size. */
function isUnfinished(
  size: number,
  { readOnly, create, grow = false, size: wanted = 0 }: FileOptions,
): boolean {
  return !readOnly && create && size < wanted && (grow || size === 0);
}

function refuseForeignFormat(options: FileOptions): void {
  // A descriptor of its own: the disk's may be O_DIRECT, which cannot read 64 bytes.
  const fd = openSync(options.path, constants.O_RDONLY);
  try {
    const head = Buffer.alloc(64);
    readSync(fd, head, 0, head.length, 0);
    const text = head.toString('latin1');
    for (const [name, magic] of FOREIGN_FORMATS) {
      if (!text.startsWith(magic)) continue;
      throw new LunportError({
        code: 'foreign-format',
        object: options.path,
        message: `${options.path} is a ${name} image, and lunport serves raw disks`,
        hint: `convert it: qemu-img convert -O raw ${options.path} disk.raw`,
      });
    }
  } finally {
    closeSync(fd);
  }
}

interface Geometry {
  readonly size?: number;
  readonly allocationUnit: number;
  readonly physicalBlockSize: number;
  readonly rotational: boolean;
  /** Undefined: to be tried. */
  readonly punchHole?: boolean;
}

function blockGeometry(fd: number, path: string): Geometry {
  const device = addon.blockDevice(fd);
  if (typeof device === 'number') throw systemError(device, 'read the size of', path);
  return {
    size: device.size,
    allocationUnit: Math.max(device.discardGranularity, device.logicalBlockSize),
    physicalBlockSize: device.physicalBlockSize,
    rotational: device.rotational,
    punchHole: device.discardGranularity > 0,
  };
}

function fileGeometry(blockSize: number): Geometry {
  return { allocationUnit: blockSize, physicalBlockSize: Math.min(blockSize, 4096), rotational: false };
}

/** Tries on a range past the end: it changes nothing, and tells what the filesystem can do. */
function canPunchHoles(fd: number, size: number, readOnly: boolean): boolean {
  if (readOnly) return false;
  const past = Math.ceil(size / 4096) * 4096;
  return addon.punchHole(fd, past, 4096) === 0;
}

function directAlignment(fd: number, path: string): { memory: number; offset: number } {
  const alignment = addon.directAlignment(fd);
  if (typeof alignment === 'number') throw systemError(alignment, 'find the alignment of O_DIRECT for', path);
  return alignment;
}
