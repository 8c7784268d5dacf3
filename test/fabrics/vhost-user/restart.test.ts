/**
 * kill -9 is a normal event: with in-flight tracking, a new process finishes what the dead one had begun, each
 * request exactly once, and the guest sees a pause.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex, VirtioScsiResponse } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { startServe } from '../../support/serve-process.ts';
import { DriverQueue } from '../../support/vhost-user/driver-queue.ts';
import { FrontEnd, USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { GuestMemory } from '../../support/vhost-user/guest-memory.ts';
import { inflight } from '../../support/vhost-user/messages.ts';
import { PACKED_START } from '../../support/vhost-user/packed-driver-queue.ts';
import { VirtioScsiDriver } from '../../support/vhost-user/virtio-scsi-driver.ts';

const KILLS = 8;
const WORKERS = 48;
const REQUEST_QUEUES = 2;
const QUEUE_SIZE = 64;
const BLOCK = 4096;

const formats: readonly [string, bigint][] = [
  ['split', USUAL_FEATURES],
  ['packed', USUAL_FEATURES | (1n << BigInt(VirtioFeature.RING_PACKED))],
];

for (const [format, features] of formats) {
  test.serial(
    `${KILLS} kills under load lose no request, repeat none, and damage no byte, ${format} rings`,
    async (t) => {
      t.timeout(120_000);
      const folder = temporaryFolder();
      const disk = `${join(folder.path, 'disk.img')},size=16M,create`;
      const socket = join(folder.path, 'scsi.sock');
      const memory = new GuestMemory([{ guestAddress: 0, length: 16 << 20 }]);
      let server = await startServe([disk], { socket });

      let frontEnd = FrontEnd.connect(socket);
      await frontEnd.negotiate(features);
      await frontEnd.shareMemory(memory);
      const rings = QueueIndex.FIRST_REQUEST + REQUEST_QUEUES;
      const made = await frontEnd.request(Request.GET_INFLIGHT_FD, inflight(0, 0, rings, QUEUE_SIZE));
      const [inflightFd] = made.fds;
      t.is(made.payload.length, 24);
      const restore = () => frontEnd.send(Request.SET_INFLIGHT_FD, made.payload, { fds: [inflightFd] });
      await restore();
      const driver = await VirtioScsiDriver.start(frontEnd, memory, {
        requestQueues: REQUEST_QUEUES,
        queueSize: QUEUE_SIZE,
      });

      let stop = false;
      let sent = 0;
      let attentions = 0;
      /** Sends until it is not answered with a unit attention, as a guest's SCSI layer does. */
      const execute = async (request: Parameters<typeof driver.execute>[0]) => {
        for (;;) {
          sent++;
          const result = await driver.execute(request);
          if (result.response !== VirtioScsiResponse.OK) throw new Error(`response ${result.response}`);
          if (result.status === Status.GOOD) return result;
          if ((result.sense[2] & 0x0f) !== 0x06) throw new Error(`sense ${result.sense.toString()}`);
          attentions++;
        }
      };
      /** Writes its own block again and again, and reads it back each time. */
      const worker = async (number: number) => {
        let rounds = 0;
        for (; !stop; rounds++) {
          const data = new Uint8Array(BLOCK).map((_, i) => (number * 7 + rounds * 13 + i) & 0xff);
          const lba = number * 8;
          const queue = (number + rounds) % REQUEST_QUEUES;
          await execute({ cdb: [0x2a, 0, 0, 0, lba >> 8, lba, 0, 0, 8, 0], dataOut: data, queue });
          const cdb = [0x28, 0, 0, 0, lba >> 8, lba, 0, 0, 8, 0];
          const { dataIn } = await execute({ cdb, dataInLength: BLOCK, queue });
          t.is(Buffer.compare(dataIn, data), 0, `block ${number}, round ${rounds}`);
        }
        return rounds;
      };
      const workers = Array.from({ length: WORKERS }, (_, i) => worker(i));

      for (let kill = 0; kill < KILLS; kill++) {
        await sleep(20 + Math.random() * 100);
        await server.kill();
        frontEnd.close();
        server = await startServe([disk], { socket });
        frontEnd = FrontEnd.connect(socket);
        await frontEnd.negotiate(features);
        await frontEnd.shareMemory(memory);
        await restore();
        for (const [index, ring] of driver.rings.entries()) {
          // As QEMU does: split rings from the used index, which knows nothing of what was taken; packed rings from
          // where they were at their start, since there is nothing in memory to know it by.
          const base = ring instanceof DriverQueue ? ring.deviceUsedIndex : PACKED_START;
          await frontEnd.setUpRing(index, ring, memory, base);
          await frontEnd.enableRing(index);
        }
      }
      await sleep(100);
      stop = true;
      const rounds = await Promise.all(workers);
      t.true(rounds.every((count) => count > KILLS));
      t.true(attentions >= KILLS, 'each new process is a power-on');
      const used = driver.queues
        .slice(QueueIndex.FIRST_REQUEST)
        .reduce((sum, queue) => sum + queue.deviceUsedIndex, 0);
      // The driver of packed rings throws when a buffer is used that it did not give.
      if (format === 'split') t.is(used & 0xffff, sent & 0xffff, 'every request was used once');

      driver.close();
      frontEnd.close();
      memory.close();
      addon.close(inflightFd);
      await server.stop();
      folder.remove();
    },
  );
}
