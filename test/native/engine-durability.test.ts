/** That FUA and FSYNC reach whoever keeps a file: no result says so, so the file's server is ours. */
import { join } from 'node:path';
import test from 'ava';
import { IoFlag, IoKind } from '../../src/native/engine-spec.ts';
import { CAN_HANG, hangingFile } from '../support/hanging-file.ts';
import { EngineDriver, mapMemory, PAGE, someTurns, temporaryFolder, USABLE_MODES, until } from './support.ts';

for (const mode of CAN_HANG ? USABLE_MODES : []) {
  test(`${mode}: a write with FUA is durable when it ends, another one is not, and FSYNC makes it so`, async (t) => {
    const file = await hangingFile(join(temporaryFolder(t), 'file'));
    t.teardown(() => file.release());
    const memory = mapMemory(t, PAGE);
    const engine = new EngineDriver(t, mode);
    const write = (flags: number) => ({
      kind: IoKind.WRITE_FILE,
      file: file.fd,
      flags: IoFlag.WORKER | flags,
      vectors: [[memory.id, 0, PAGE] as const],
    });
    t.deepEqual(await engine.run(write(0)), [PAGE]);
    await someTurns();
    t.is(file.syncs(), 0);
    t.deepEqual(await engine.run(write(IoFlag.FUA)), [PAGE]);
    await until(() => file.syncs() === 1);
    t.deepEqual(await engine.run({ kind: IoKind.FSYNC, file: file.fd }), [0]);
    await until(() => file.syncs() === 2);
  });
}
