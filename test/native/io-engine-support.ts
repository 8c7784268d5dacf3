/** An io engine with memory, a file and an owner, for its tests. */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { IoEngine, type IoEngineOptions, type IoOwner } from '../../src/native/io-engine.ts';
import { RegionMemory } from '../../src/native/memory.ts';
import type { Segments } from '../../src/native/segments.ts';
import { MIB, openFile, pattern, temporaryFolder, type Vector } from './support.ts';

export function segments(...vectors: Vector[]): Segments {
  return {
    triples: Float64Array.from(vectors.flat()),
    count: vectors.length,
  };
}

export function setUp(t: ExecutionContext, options: IoEngineOptions = {}) {
  const engine = new IoEngine(options);
  const memory = new RegionMemory();
  const guest = memory.mapAnonymous(4 * MIB);
  const bytes = memory.bytes(guest, 0, 4 * MIB);
  const path = join(temporaryFolder(t), 'file');
  const fd = openFile(t, path);
  const content = pattern(MIB);
  writeSync(fd, content, 0, MIB, 0);
  t.teardown(async () => {
    await engine.drain();
    engine.close();
  });
  return { engine, memory, guest, bytes, fd, path, content };
}

export class Recorder implements IoOwner {
  results: number[] = [];
  #then: ((result: number) => void) | undefined;

  constructor(then?: (result: number) => void) {
    this.#then = then;
  }

  ioCompleted(result: number): void {
    this.results.push(result);
    this.#then?.(result);
  }
}
