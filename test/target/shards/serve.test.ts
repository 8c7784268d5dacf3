/** `lunport serve --shards`: what a process with several event loops does when it ends, in every way it can. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { CAN_HANG, hangingFile } from '../../support/hanging-file.ts';
import { type ServeProcess, startServe } from '../../support/serve-process.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';
import { GuestMemory } from '../../support/vhost-user/guest-memory.ts';
import { VirtioScsiDriver } from '../../support/vhost-user/virtio-scsi-driver.ts';

const BLOCK = 512;
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
const write = (block: number) => [0x2a, 0, 0, 0, 0, block, 0, 0, 1, 0];
const read = (block: number) => [0x28, 0, 0, 0, 0, block, 0, 0, 1, 0];
const synchronizeCache = [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/** A guest on a socket, its power-on unit attention behind it. */
class TestGuest {
  readonly driver: VirtioScsiDriver;
  private readonly frontEnd: FrontEnd;
  private readonly memory: GuestMemory;

  private constructor(frontEnd: FrontEnd, memory: GuestMemory, driver: VirtioScsiDriver) {
    this.frontEnd = frontEnd;
    this.memory = memory;
    this.driver = driver;
  }

  static async connect(t: ExecutionContext, socket: string): Promise<TestGuest> {
    const memory = new GuestMemory([{ guestAddress: 0, length: 8 << 20 }]);
    const frontEnd = FrontEnd.connect(socket);
    await frontEnd.negotiate();
    await frontEnd.shareMemory(memory);
    const driver = await VirtioScsiDriver.start(frontEnd, memory);
    const guest = new TestGuest(frontEnd, memory, driver);
    t.teardown(() => guest.close());
    await driver.execute({ cdb: TEST_UNIT_READY });
    return guest;
  }

  get closed(): Promise<void> {
    return this.frontEnd.closed;
  }

  private close(): void {
    this.driver.close();
    this.frontEnd.close();
    this.memory.close();
  }
}

interface Daemon {
  readonly folder: string;
  readonly start: (shards: number, nodeArguments?: readonly string[]) => Promise<ServeProcess>;
}

/** Two targets, each with a file, on sockets `0` and `1`. */
function daemon(t: ExecutionContext): Daemon {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = (name: string) => join(folder.path, name);
  return {
    folder: folder.path,
    start: async (shards, nodeArguments = []) => {
      const serve = await startServe(
        [`${path('a.img')},create,size=1M`, '+', `${path('b.img')},create,size=1M`],
        {
          socket: path('0'),
          serveArguments: ['--socket', path('1'), '--shards', String(shards)],
          nodeArguments,
        },
      );
      t.teardown(() => serve.kill());
      return serve;
    },
  };
}

test('every guest is served by its shard, and SIGTERM ends all of them in good order under load', async (t) => {
  const serve = await daemon(t).start(2);
  t.deepEqual(
    serve.targets.map(({ shard }) => shard),
    [0, 1],
  );
  const sockets = serve.targets.map((target) => target.sockets[0].path);
  const guests = await Promise.all(sockets.map((socket) => TestGuest.connect(t, socket)));
  let answered = 0;
  const load = async ({ driver }: TestGuest): Promise<never> => {
    for (;;) {
      const { status } = await driver.execute({ cdb: write(1), dataOut: new Uint8Array(BLOCK) });
      t.is(status, 0);
      answered++;
    }
  };
  for (const guest of guests) void load(guest);
  while (answered < 100) await new Promise(setImmediate);
  t.is(await serve.stop(), 0, serve.errors());
  await Promise.all(guests.map((guest) => guest.closed));
  for (const socket of sockets) t.false(existsSync(socket));
});

test('what was written before kill -9 is there afterwards, on another number of shards', async (t) => {
  const { start } = daemon(t);
  for (const [round, shards] of [2, 1, 0, 2].entries()) {
    const serve = await start(shards);
    for (const [i, { sockets }] of serve.targets.entries()) {
      const { driver } = await TestGuest.connect(t, sockets[0].path);
      if (round > 0) {
        const { dataIn } = await driver.execute({ cdb: read(round - 1), dataInLength: BLOCK });
        t.true(dataIn.every((byte) => byte === 16 * i + round - 1));
      }
      await driver.execute({ cdb: write(round), dataOut: new Uint8Array(BLOCK).fill(16 * i + round) });
      t.is((await driver.execute({ cdb: synchronizeCache })).status, 0);
    }
    await serve.kill();
  }
});

const OF_SOCKET_1 = "workerData?.specs[0]?.sockets[0].path.endsWith('1')";

/** A module that throws when `order` is called, in the threads that `where` is true of. */
function killer(folder: string, where = OF_SOCKET_1): { hook: string; order: () => void } {
  const hook = join(folder, 'hook.mjs');
  const order = join(folder, 'order');
  writeFileSync(
    hook,
    `import { existsSync } from 'node:fs';
    import { isMainThread, workerData } from 'node:worker_threads';
    if (${where}) setInterval(() => {
      if (existsSync(${JSON.stringify(order)})) throw new Error('a defect for the test');
    }, 20);`,
  );
  return { hook, order: () => writeFileSync(order, '') };
}

test('a shard that dies ends the process, with the reason and after the others have closed', async (t) => {
  const { folder, start } = daemon(t);
  const { hook, order } = killer(folder);
  const serve = await start(2, ['--import', hook]);
  const [survivor] = await Promise.all(
    serve.targets.map(({ sockets }) => TestGuest.connect(t, sockets[0].path)),
  );
  order();
  t.is(await serve.exited, 1);
  await survivor.closed;
  t.regex(serve.errors(), /shard 1 has ended.*a defect for the test/);
  t.regex(serve.errors(), /hint: Start lunport again/);
  t.false(existsSync(serve.targets[0].sockets[0].path), 'the other shard closed its socket');
  const again = await start(2);
  t.is(await again.stop(), 0);
});

for (const hanging of CAN_HANG ? [0, 1] : []) {
  test(`a shard that dies ends the process also while a disk of ${hanging === 1 ? 'its own' : 'another'} hangs`, async (t) => {
    const folder = temporaryFolder();
    const path = (name: string) => join(folder.path, name);
    const { hook, order } = killer(folder.path);
    const file = await hangingFile(path('hanging.img'));
    const disks = [`${path('other.img')},create,size=1M`];
    disks.splice(hanging, 0, path('hanging.img'));
    const serve = await startServe([disks[0], '+', disks[1]], {
      socket: path('0'),
      serveArguments: ['--socket', path('1'), '--shards', '2'],
      nodeArguments: ['--import', hook],
    });
    try {
      const guests = await Promise.all(
        serve.targets.map(({ sockets }) => TestGuest.connect(t, sockets[0].path)),
      );
      file.hang();
      void guests[hanging].driver.execute({ cdb: read(0), dataInLength: BLOCK });
      // Behind it in the ring: the READ is on its way when this is answered.
      await guests[hanging].driver.execute({ cdb: TEST_UNIT_READY });
      order();
      t.not(await serve.exited, 0);
      await Promise.all(guests.map(({ closed }) => closed));
      t.regex(serve.errors(), /shard 1 has ended.*a defect for the test/);
    } finally {
      await file.release();
      await serve.kill();
      folder.remove();
    }
  });
}

for (const shards of CAN_HANG ? [0, 2] : []) {
  test(`a defect on the main thread of ${shards} shards ends the process also while a disk hangs`, async (t) => {
    const folder = temporaryFolder();
    const path = (name: string) => join(folder.path, name);
    const { hook, order } = killer(folder.path, 'isMainThread');
    const file = await hangingFile(path('hanging.img'));
    const serve = await startServe([path('hanging.img')], {
      socket: path('0'),
      serveArguments: ['--shards', String(shards)],
      nodeArguments: ['--import', hook],
    });
    try {
      const guest = await TestGuest.connect(t, path('0'));
      file.hang();
      void guest.driver.execute({ cdb: read(0), dataInLength: BLOCK });
      await guest.driver.execute({ cdb: TEST_UNIT_READY });
      order();
      t.not(await serve.exited, 0);
      await guest.closed;
      t.regex(serve.errors(), /lunport ends by a defect of its own.*killed/);
      t.regex(serve.errors(), /a defect for the test/);
    } finally {
      await file.release();
      await serve.kill();
      folder.remove();
    }
  });
}
