/** When the event loop's thread itself writes to a file, and when it leaves that to others. */
import { join } from 'node:path';
import test from 'ava';
import { IoFlag, IoKind } from '../../src/native/engine-spec.ts';
import { CAN_HANG, hangingFile } from '../support/hanging-file.ts';
import {
  EngineDriver,
  MIB,
  mapMemory,
  openFile,
  PAGE,
  type Row,
  temporaryFolder,
  USABLE_MODES,
  type Vector,
} from './support.ts';

/** Milliseconds: ten times what a write may take without being suspected. */
const WRITE_DELAY = 20;
/**
 * Writes that may block the thread before it is over. Two in a row are enough, if this process and the file's server
 * get to run often enough for them to come close together.
 */
const MOST_BLOCKING = 40;

/** One write; whether it was done at once, by this thread. */
async function writes(engine: EngineDriver, row: Row): Promise<boolean> {
  const atOnce = engine.start([row]) === 1;
  const [result] = await engine.results(1);
  if (result !== row.vectors!.reduce((sum, [, , length]) => sum + length, 0))
    throw new Error(`wrote ${result}`);
  return atOnce;
}

for (const mode of CAN_HANG ? USABLE_MODES : []) {
  test(`${mode}: a file whose writes block the thread gets no more of it, but for a trial now and then`, async (t) => {
    const folder = temporaryFolder(t);
    const memory = mapMemory(t, PAGE);
    const write = (file: number): Row => ({
      kind: IoKind.WRITE_FILE,
      file,
      flags: IoFlag.INLINE,
      vectors: [[memory.id, 0, PAGE]],
    });
    const quick = write(openFile(t, join(folder, 'quick')));
    const engine = new EngineDriver(t, mode);
    const file = await hangingFile(join(folder, 'slow'), WRITE_DELAY);
    try {
      const slow = write(file.fd);
      let blocking = 0;
      while (await writes(engine, slow)) t.true(++blocking < MOST_BLOCKING, 'it is noticed');
      t.true(blocking > 0, 'nothing is known of a file that is new');
      t.true(await writes(engine, quick), 'other files are as they were');
      // It may be quick by now. Were it never tried again, this would not end.
      while (!(await writes(engine, slow)));
    } finally {
      await file.release();
    }
  });
}

test('a write that takes long, but does not block the thread, says nothing about its file', async (t) => {
  // A byte each: work for the kernel that takes longer than any copy.
  const count = MIB;
  const memory = mapMemory(t, PAGE);
  const vectors = new Array<Vector>(count).fill([memory.id, 0, 1]);
  const file = openFile(t, join(temporaryFolder(t, '/dev/shm'), 'disk'));
  const engine = new EngineDriver(t, USABLE_MODES[0], { maxVectors: count });
  const row: Row = { kind: IoKind.WRITE_FILE, file, flags: IoFlag.INLINE, vectors };
  engine.fill([row]);
  for (let i = 0; i < 5; i++) t.is(engine.raw.submit(1), 1, 'done at once');
});
