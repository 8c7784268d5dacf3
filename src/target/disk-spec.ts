/**
 * DISK on the command line: `disk.img,ro,block-size=4096`, `ram:1G`, `null:1T,serial=X`. A comma that belongs to
 * the path is doubled, as QEMU has it.
 */
import { CACHE_MODES, type CacheMode } from '../backstores/cache-mode.ts';
import { DEFAULT_ATTRIBUTES, type DeviceAttributes } from '../scsi/device-attributes.ts';
import { parseSize } from './size.ts';

export interface DiskSpec {
  /** As it was written. */
  readonly text: string;
  readonly kind: 'file' | 'ram' | 'null';
  /** Path of a file or block device; for ram and null the text that was given, as a name. */
  readonly name: string;
  readonly readOnly: boolean;
  /** Bytes: of a ram or null disk, or of a file to create. */
  readonly size: number | undefined;
  /** Bytes per logical block. */
  readonly blockSize: number;
  readonly serial: string | undefined;
  readonly cache: CacheMode;
  readonly create: boolean;
  /** Others that say the same may use it too. */
  readonly share: boolean;
  /** As long as another process uses it, it is waited for, and so are the guests. */
  readonly wait?: boolean;
  readonly removable: boolean;
  /** Protection type that the disk is formatted with at first; undefined: no place for protection information. */
  readonly protection: number | undefined;
  /** Attributes under LIO's names that differ from the defaults. */
  readonly attributes: Partial<DeviceAttributes>;
  /** What initiators know it by besides its serial number; default: derived from that. */
  readonly identity?: GivenIdentity;
}

/** Names of a disk that was served by something else before. */
export interface GivenIdentity {
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  /** `naa.` and 16 or 32 hexadecimal digits. */
  readonly naa: string;
}

/** What was wrong with a command line; the CLI answers it with exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export const DEFAULT_BLOCK_SIZE = 512;
export const BLOCK_SIZES = [512, 1024, 2048, 4096];
export const SERIAL = /^[\x21-\x7e]{1,36}$/;

export const DISK_OPTIONS_HELP = `Options of a disk, after commas:
  ro                    read-only
  create,size=SIZE      make the file, sparse, when it does not exist
  size=SIZE             expected size (K, M, G, T; 1024-based)
  block-size=BYTES      bytes per logical block: 512 (default), 1024, 2048, 4096
  serial=TEXT           serial number (default: derived from the path)
  cache=MODE            writeback (default), writethrough, none (O_DIRECT), directsync
  removable             a removable medium
  pi=0|1|2|3            room for protection information, in FILE.pi beside the file; its type at first
  attr.NAME=NUMBER      an attribute under LIO's name, such as attr.emulate_tpu=0
  share                 others that say the same may use it too (QEMU: share-rw=on)
  wait                  while another process uses it, guests may come, and wait (to migrate between two lunports)
  A comma inside a path is doubled: my,,disk.img`;

interface Draft {
  size?: number;
  readOnly: boolean;
  blockSize: number;
  serial?: string;
  cache: CacheMode;
  create: boolean;
  share: boolean;
  wait?: boolean;
  removable: boolean;
  protection?: number;
  attributes: Record<string, number>;
}

/** Throws UsageError. */
export function parseDisk(text: string): DiskSpec {
  const [name, ...options] = splitCommas(text);
  const draft: Draft = {
    readOnly: false,
    blockSize: DEFAULT_BLOCK_SIZE,
    cache: 'writeback',
    create: false,
    share: false,
    removable: false,
    attributes: {},
  };
  for (const option of options) applyOption(draft, option, text);
  const memory = /^(ram|null):(.*)$/.exec(name);
  if (memory !== null) return memoryDisk(memory[1] as 'ram' | 'null', memory[2], draft, text);
  if (name === '') throw new UsageError(`"${text}" names no disk`);
  return { text, kind: 'file', name, size: undefined, serial: undefined, protection: undefined, ...draft };
}

function memoryDisk(kind: 'ram' | 'null', sizeText: string, draft: Draft, text: string): DiskSpec {
  const size = parseSize(sizeText);
  if (size === undefined || size === 0) {
    throw new UsageError(`"${text}": expected a size such as ${kind}:1G but received "${sizeText}"`);
  }
  if (size % draft.blockSize !== 0) {
    throw new UsageError(`"${text}": ${size} bytes are not a multiple of the block size ${draft.blockSize}`);
  }
  if (draft.create || draft.size !== undefined)
    throw new UsageError(`"${text}": its size stands after the colon`);
  return {
    text,
    serial: undefined,
    protection: undefined,
    ...draft,
    kind,
    name: `${kind}:${sizeText}`,
    size,
  };
}

function applyOption(draft: Draft, option: string, text: string): void {
  const equals = option.indexOf('=');
  const key = equals < 0 ? option : option.slice(0, equals);
  const value = equals < 0 ? undefined : option.slice(equals + 1);
  const flag = (): true => {
    if (value !== undefined) throw new UsageError(`"${text}": option ${key} takes no value`);
    return true;
  };
  const expected = (what: string): UsageError =>
    new UsageError(
      `"${text}": expected ${what} for ${key} but received ${value === undefined ? 'nothing' : `"${value}"`}`,
    );
  switch (key) {
    case 'ro':
    case 'readonly':
      draft.readOnly = flag();
      return;
    case 'create':
      draft.create = flag();
      return;
    case 'share':
      draft.share = flag();
      return;
    case 'wait':
      draft.wait = flag();
      return;
    case 'removable':
      draft.removable = flag();
      return;
    case 'size': {
      const size = parseSize(value ?? '');
      if (size === undefined || size === 0) throw expected('a size such as 10G');
      draft.size = size;
      return;
    }
    case 'block-size': {
      const blockSize = Number(value);
      if (!BLOCK_SIZES.includes(blockSize)) throw expected(BLOCK_SIZES.join(', '));
      draft.blockSize = blockSize;
      return;
    }
    case 'serial':
      if (value === undefined || !SERIAL.test(value))
        throw expected('1 to 36 printable characters without spaces');
      draft.serial = value;
      return;
    case 'cache':
      if (!CACHE_MODES.includes(value as CacheMode)) throw expected(CACHE_MODES.join(', '));
      draft.cache = value as CacheMode;
      return;
    case 'pi': {
      const type = Number(value);
      if (!/^[0-3]$/.test(value ?? '')) throw expected('0, 1, 2 or 3');
      draft.protection = type;
      return;
    }
    default:
      if (key.startsWith('attr.')) return applyAttribute(draft, key.slice('attr.'.length), value, text);
      throw new UsageError(`"${text}": unknown option "${key}"\n${DISK_OPTIONS_HELP}`);
  }
}

/** Attributes that other options set, so that there is one way to say each thing. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  block_size: 'block-size=',
  emulate_write_cache: 'cache=',
  pi_prot_type: 'pi=',
};

/** Those that can be set as such. */
export const ATTRIBUTE_NAMES = Object.keys(DEFAULT_ATTRIBUTES).filter(
  (name) => ELSEWHERE[name] === undefined,
);

function applyAttribute(draft: Draft, name: string, value: string | undefined, text: string): void {
  if (ELSEWHERE[name] !== undefined)
    throw new UsageError(`"${text}": say ${ELSEWHERE[name]} instead of attr.${name}`);
  if (!Object.hasOwn(DEFAULT_ATTRIBUTES, name)) {
    throw new UsageError(`"${text}": unknown attribute "${name}"; there are ${ATTRIBUTE_NAMES.join(', ')}`);
  }
  if (!/^\d{1,10}$/.test(value ?? '')) throw new UsageError(`"${text}": expected a number for attr.${name}`);
  draft.attributes[name] = Number(value);
}

/** Splits at single commas; a doubled one is a comma. */
function splitCommas(text: string): string[] {
  const parts = [''];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ',') parts[parts.length - 1] += text[i];
    else if (text[i + 1] === ',') {
      parts[parts.length - 1] += ',';
      i++;
    } else parts.push('');
  }
  return parts;
}
