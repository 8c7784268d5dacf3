/** Files that never answer leave room to the others. */
import { join } from 'node:path';
import test from 'ava';
import { IoFlag } from '../../src/native/engine-spec.ts';
import { Errno } from '../../src/native/errno.ts';
import { CAN_HANG, hangingFile } from '../support/hanging-file.ts';
import { Recorder, segments, setUp } from './io-engine-support.ts';
import { openPipe, PAGE, temporaryFolder, USABLE_MODES, until } from './support.ts';

if (USABLE_MODES.includes('io_uring')) {
  test('files that hang with more operations than there is room for do not stop the others', async (t) => {
    const { engine, guest, fd } = setUp(t, { mode: 'io_uring', depth: 16 });
    const list = segments([guest.id, 0, PAGE]);
    const hanging = Array.from({ length: 5 }, () => {
      const owner = new Recorder();
      const pipe = openPipe(t);
      for (let i = 0; i < 40; i++) engine.read(pipe, 0, 1, list, 0, 0, owner);
      return owner;
    });
    for (let round = 0; round < 3; round++) {
      const owner = new Recorder();
      for (let i = 0; i < 40; i++) engine.read(fd, i * PAGE, PAGE, list, 0, 0, owner);
      await until(() => owner.results.length === 40);
      t.true(owner.results.every((result) => result === PAGE));
    }
    t.is(engine.inFlight, 5 * 40);
    for (const owner of hanging) engine.cancel(owner);
    await engine.drain();
    for (const { results } of hanging) t.deepEqual(results, new Array(40).fill(Errno.ECANCELED));
  });
}

for (const mode of CAN_HANG ? USABLE_MODES : []) {
  test(`${mode}: a file whose server hangs, with all that it may have in flight, holds up no sync of another`, async (t) => {
    const { engine, guest, fd } = setUp(t, { mode });
    const list = segments([guest.id, 0, PAGE]);
    const hanging = new Recorder();
    const file = await hangingFile(join(temporaryFolder(t), 'hanging'));
    try {
      file.hang();
      // Each of them blocks a worker of the kernel, or a thread.
      for (let i = 0; i < 400; i++) engine.read(file.fd, i * PAGE, PAGE, list, 0, IoFlag.WORKER, hanging);
      const others = new Recorder();
      for (let i = 0; i < 40; i++) {
        engine.write(fd, i * PAGE, PAGE, list, 0, 0, others);
        engine.fsync(fd, others);
      }
      await until(() => others.results.length === 80);
      t.true(others.results.every((result) => result === PAGE || result === 0));
      t.deepEqual(hanging.results, []);
      engine.cancel(hanging);
    } finally {
      await file.release();
    }
    await engine.drain();
    t.is(hanging.results.length, 400);
    t.true(hanging.results.every((result) => result < 0));
  });
}
