/** Idle means idle: a guest that asks for nothing costs nothing. */
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { cpuTicks } from '../bench/cpu-time.ts';
import { startServe } from './support/serve-process.ts';
import { FrontEnd } from './support/vhost-user/front-end.ts';
import { GuestMemory } from './support/vhost-user/guest-memory.ts';
import { VirtioScsiDriver } from './support/vhost-user/virtio-scsi-driver.ts';

const IDLE_SECONDS = 10;
/** One tick is 10 ms: 0.1 % of the time. */
const MAX_TICKS = 1;
const READ_10 = [0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0];

for (const serveArguments of [[], ['--poll-us', '1000'], ['--shards', '2', '--poll-us', '1000']]) {
  test(`a connected guest that is idle costs no CPU time, ${serveArguments.join(' ') || 'asleep'}`, async (t) => {
    t.timeout(60_000);
    const server = await startServe(['ram:64M', 'null:1G'], { serveArguments });
    const memory = new GuestMemory([{ guestAddress: 0, length: 16 << 20 }]);
    const frontEnd = FrontEnd.connect(server.socket);
    await frontEnd.negotiate();
    await frontEnd.shareMemory(memory);
    const driver = await VirtioScsiDriver.start(frontEnd, memory, { requestQueues: 4, eventBuffers: 4 });
    // Recent work must not keep it awake for long either.
    for (let i = 0; i < 1000; i++) await driver.execute({ cdb: READ_10, dataInLength: 4096 });
    await delay(1000);
    // V8 tidies up once, some seconds after the work. Whoever polls or ticks does it in every window.
    let ticks = Number.POSITIVE_INFINITY;
    for (let window = 0; window < 3 && ticks > MAX_TICKS; window++) {
      const before = cpuTicks(server.pid);
      await delay(IDLE_SECONDS * 1000);
      ticks = cpuTicks(server.pid) - before;
    }
    t.true(ticks <= MAX_TICKS, `${ticks * 10} ms of CPU time in ${IDLE_SECONDS} s`);
    driver.close();
    frontEnd.close();
    memory.close();
    t.is(await server.stop(), 0);
  });
}
