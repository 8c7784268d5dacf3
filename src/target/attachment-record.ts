/**
 * What is attached to this host, one directory each in the runtime directory: who serves it, and what must be
 * undone when he is gone. A record outlives a killed process, so that `lunport detach` can clean up after it.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, parse, resolve } from 'node:path';
import { runtimeDirectory } from './directories.ts';
import type { DiskSpec } from './disk-spec.ts';

export const ATTACHMENT_KINDS = ['fuse', 'nbd', 'ublk', 'iscsi'] as const;
export type AttachmentKind = (typeof ATTACHMENT_KINDS)[number];

const RECORD = 'record.json';

/** What an attachment may be called. */
export const ATTACHMENT_NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;

export interface AttachmentRecord {
  readonly name: string;
  readonly kind: AttachmentKind;
  /** As on the command line. */
  readonly disk: string;
  /** Socket of the running target that it is a LUN of; undefined when its process serves nothing else. */
  readonly socket?: string;
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat: tells a process from a later one of the same number. */
  readonly startTime: string;
  /** The file of a FUSE attachment; the socket of an NBD one; the device of a ublk one; an iSCSI URL. */
  readonly path: string;
  /** The block device, when there is one. */
  readonly device?: string;
  /** When it got a new server after a death: milliseconds since the epoch, of the last minute. */
  readonly recoveries?: readonly number[];
}

/** A file's name without its ending, or `ram` or `null`. */
export function defaultAttachmentName({ kind, name }: DiskSpec): string {
  const stem = kind === 'file' ? parse(basename(name)).name : kind;
  return stem.replace(/[^\w.-]|^[^A-Za-z0-9]/g, '_');
}

function baseDirectory(): string {
  const path = join(runtimeDirectory(), 'attached');
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}

/** Of one attachment; made 0700. */
export function makeAttachmentDirectory(name: string): string {
  const path = attachmentDirectory(name);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}

function attachmentDirectory(name: string): string {
  return join(baseDirectory(), name);
}

/** What its process has to say once nobody listens any more. */
export function attachmentLog(name: string): string {
  return `${attachmentDirectory(name)}.log`;
}

export function writeRecord(record: Omit<AttachmentRecord, 'pid' | 'startTime'>): void {
  const whole: AttachmentRecord = { ...record, pid: process.pid, startTime: startTimeOf(process.pid) ?? '' };
  const path = join(attachmentDirectory(record.name), RECORD);
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(whole), { mode: 0o600 });
  // Old or new, never half: a ublk device without a record would wait for a server for ever.
  renameSync(temporary, path);
}

export function removeRecord(name: string): void {
  rmSync(attachmentDirectory(name), { recursive: true, force: true });
}

/** Every attachment, those of dead processes included. */
export function attachments(): AttachmentRecord[] {
  const base = baseDirectory();
  return readdirSync(base).flatMap((name) => {
    const record = readRecord(join(base, name, RECORD));
    return record === undefined ? [] : [record];
  });
}

/** Undefined when there is none, or when the file is no record. */
function readRecord(path: string): AttachmentRecord | undefined {
  let record: Partial<AttachmentRecord>;
  try {
    record = JSON.parse(readFileSync(path, 'utf8')) as Partial<AttachmentRecord>;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A log, and one that another process removes just now.
    if (error instanceof SyntaxError || code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  const whole = [record.name, record.disk, record.startTime, record.path].every(
    (text) => typeof text === 'string',
  );
  const known = ATTACHMENT_KINDS.some((kind) => kind === record.kind);
  return whole && known && Number.isInteger(record.pid) ? (record as AttachmentRecord) : undefined;
}

/** By name, file or device. */
export function findAttachment(text: string): AttachmentRecord | undefined {
  const path = resolve(text);
  return attachments().find(
    ({ name, path: file, device }) => name === text || file === path || device === path,
  );
}

/** Whether the process that serves it lives. */
export function isServed({ pid, startTime }: AttachmentRecord): boolean {
  return startTimeOf(pid) === startTime;
}

function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, which may hold blanks.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie serves nothing.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
