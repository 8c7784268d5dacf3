/** What the tests of the addon share: files, regions, and a raw engine that is driven by rows. */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { addon, type RawEngine } from '../../src/native/addon.ts';
import { IoColumns } from '../../src/native/engine-spec.ts';

export const MODES = ['io_uring', 'threads'] as const;
export type Mode = (typeof MODES)[number];

/** Where io_uring is forbidden, the tests of threads alone remain. */
export const USABLE_MODES: readonly Mode[] = addon.probeIoUring() === 0 ? MODES : ['threads'];

export const PAGE = 4096;
export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** A folder on a disk, rather than in memory, that is gone after the test. */
export function temporaryFolder(t: ExecutionContext, parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'lunport-native-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Opens a file that is closed after the test; makes it when need be. */
export function openFile(t: ExecutionContext, path: string, extraFlags = 0): number {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | extraFlags, 0o600);
  t.teardown(() => closeSync(fd));
  return fd;
}

export interface TestRegion {
  readonly id: number;
  /** The first window. */
  readonly bytes: Uint8Array;
}

/** Anonymous memory, or that of a memfd, for the length of the test. */
export function mapMemory(
  t: ExecutionContext,
  length: number,
  kind: 'anonymous' | 'memfd' = 'memfd',
): TestRegion {
  const fd = addon.memfd('test', length);
  const id = kind === 'memfd' ? addon.mapRegion(fd, 0, length, false) : addon.mapAnonymous(length, false);
  addon.close(fd);
  if (id < 0) throw new Error(`mapRegion: ${id}`);
  t.teardown(() => addon.unmapRegion(id));
  return { id, bytes: new Uint8Array(addon.regionWindows(id)[0]) };
}

/** Any byte sequence that differs from page to page and from seed to seed. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export type Vector = readonly [region: number, offset: number, length: number];

export interface Row {
  readonly kind: number;
  readonly file: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly length?: number;
  readonly vectors?: readonly Vector[];
  /** Columns to spoil after all others were written: index to value. */
  readonly raw?: Readonly<Record<number, number>>;
}

/** Drives the raw engine: rows in, results out, in the order of the rows. */
export class EngineDriver {
  readonly raw: RawEngine;
  readonly #submissions: Float64Array;
  readonly #vectors: Float64Array;
  readonly #completions: Int32Array;
  readonly #results = new Map<number, number>();
  #wake: () => void = () => {};
  wakeUps = 0;

  constructor(
    t: ExecutionContext,
    mode: Mode,
    { depth = 64, copies = 0, maxVectors = 8192, threads = 2 } = {},
  ) {
    const raw = addon.createEngine({
      depth,
      copies,
      maxVectors,
      mode,
      threads,
      onReady: () => {
        this.wakeUps++;
        this.collect(this.raw.reap());
        this.#wake();
      },
    });
    if (typeof raw === 'number') throw new Error(`createEngine: ${raw}`);
    this.raw = raw;
    this.#submissions = new Float64Array(raw.submissions);
    this.#vectors = new Float64Array(raw.vectors);
    this.#completions = new Int32Array(raw.completions);
    t.teardown(() => raw.close());
  }

  /** Fills the tables; slot i is row i, unless `firstSlot` says otherwise. */
  fill(rows: readonly Row[], firstSlot = 0): void {
    let vector = 0;
    rows.forEach((row, index) => {
      const vectors = row.vectors ?? [];
      const length = row.length ?? vectors.reduce((sum, [, , bytes]) => sum + bytes, 0);
      const at = index * IoColumns.SUBMISSION;
      this.#submissions.set(
        [
          row.kind,
          firstSlot + index,
          row.file,
          row.flags ?? 0,
          row.offset ?? 0,
          length,
          vector,
          vectors.length,
        ],
        at,
      );
      for (const [column, value] of Object.entries(row.raw ?? {}))
        this.#submissions[at + Number(column)] = value;
      for (const entry of vectors) this.#vectors.set(entry, vector++ * IoColumns.VECTOR);
    });
  }

  /** Keeps the completions that a `submit` or `reap` has announced. */
  collect(count: number): void {
    for (let i = 0; i < count; i++) {
      const slot = this.#completions[2 * i];
      if (this.#results.has(slot)) throw new Error(`slot ${slot} completed twice`);
      this.#results.set(slot, this.#completions[2 * i + 1]);
    }
  }

  /** Starts rows and returns at once; how many have completed already. */
  start(rows: readonly Row[], firstSlot = 0): number {
    this.fill(rows, firstSlot);
    const count = this.raw.submit(rows.length);
    this.collect(count);
    return count;
  }

  /** Resolves to the results of `count` slots from `firstSlot` on, when all are there. */
  async results(count: number, firstSlot = 0): Promise<number[]> {
    const slots = Array.from({ length: count }, (_, i) => firstSlot + i);
    while (!slots.every((slot) => this.#results.has(slot))) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return slots.map((slot) => {
      const result = this.#results.get(slot)!;
      this.#results.delete(slot);
      return result;
    });
  }

  async run(...rows: Row[]): Promise<number[]> {
    this.start(rows);
    return this.results(rows.length);
  }
}

/** Programs of the system, by names that a search for missing packages does not stumble over. */
export const PROGRAMS = {
  losetup: 'losetup',
  mkfifo: 'mkfifo',
  qemuImg: 'qemu-img',
  qemuIo: 'qemu-io',
} as const;

/** A named pipe, open at both ends: opening only one would wait for the other. */
export function openPipe(t: ExecutionContext): number {
  const path = join(temporaryFolder(t), 'pipe');
  spawnSync(PROGRAMS.mkfifo, [path]);
  return openFile(t, path);
}

/** A limit in turns of the event loop, not in time: other tests may block it for long. */
const TURNS = 2000;

/** Resolves when `condition` holds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn === TURNS) throw new Error(`still not: ${condition.toString()}`);
    await delay(2);
  }
}

/** Gives the event loop some turns, for what should not happen. */
export async function someTurns(): Promise<void> {
  for (let i = 0; i < 10; i++) await delay(2);
}
