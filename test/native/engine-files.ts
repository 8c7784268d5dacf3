/** Files that the tests of the raw engine read and write. */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { IoFlag, IoKind } from '../../src/native/engine-spec.ts';
import { MIB, mapMemory, openFile, PAGE, pattern, type Row, temporaryFolder } from './support.ts';

export const FILE_LENGTH = 64 * PAGE + 100;
export const CONTENT = pattern(FILE_LENGTH);

/** With CONTENT in it. */
export function makeFile(t: ExecutionContext, parent?: string, extraFlags = 0): number {
  const path = join(temporaryFolder(t, parent), 'disk');
  const fd = openFile(t, path);
  writeSync(fd, CONTENT, 0, FILE_LENGTH, 0);
  return extraFlags === 0 ? fd : openFile(t, path, extraFlags);
}

export const SLOW_LENGTH = 64 * MIB;

/** Cannot be done inline, and takes many milliseconds. */
export function slowWrite(t: ExecutionContext): Row {
  const memory = mapMemory(t, SLOW_LENGTH, 'anonymous');
  const file = openFile(t, join(temporaryFolder(t), 'slow'));
  return { kind: IoKind.WRITE_FILE, file, flags: IoFlag.FUA, vectors: [[memory.id, 0, SLOW_LENGTH]] };
}
