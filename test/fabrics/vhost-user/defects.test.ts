/** A defect of ours in the serving of a ring ends the connection, loudly; the process and the disk go on. */
import test from 'ava';
import { ScsiDevice, type ScsiDeviceOptions } from '../../../src/fabrics/vhost-user/scsi-device.ts';
import type { DeviceHost } from '../../../src/fabrics/vhost-user/virtio-device.ts';
import { QueueIndex } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import type { VringHandler } from '../../../src/fabrics/vhost-user/vring-handler.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { eventually, Served } from '../../support/vhost-user/served.ts';

const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };

/** Its request queues do not get over a WRITE. */
class DefectiveDevice extends ScsiDevice {
  readonly where: 'before' | 'after';

  constructor(host: DeviceHost, options: ScsiDeviceOptions, where: 'before' | 'after') {
    super(host, options);
    this.where = where;
  }

  override handler(index: number): VringHandler {
    const handler = super.handler(index);
    if (index < QueueIndex.FIRST_REQUEST) return handler;
    return {
      accept: (vring, chain) => {
        const isWrite = chain.readable > 1;
        if (isWrite && this.where === 'before') throw new TypeError('our mistake');
        handler.accept(vring, chain);
        if (isWrite) throw new TypeError('our mistake');
      },
    };
  }
}

const MESSAGE = /a defect of lunport's own ends the connection, at ring 2: TypeError: our mistake\n +at/;

for (const where of ['before', 'after'] as const) {
  test(`a defect ${where} a request is worked on ends its connection; the next one is served`, async (t) => {
    const served: Served = await Served.start({
      createDevice: (host) => {
        const { nexus } = served.target;
        const { environment } = served.shard;
        return new DefectiveDevice(host, { nexus, environment, targetNumber: 0 }, where);
      },
    });
    const first = await served.boot();
    // It is on its way when the defect comes, and must not keep the connection from ending.
    served.backstore.hold = true;
    void first.driver.execute(READ);
    await eventually(() => served.backstore.held.length === 1);
    served.backstore.hold = false;
    void first.driver.execute({ cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512) });
    await served.alone();
    t.is(served.log.filter((line) => MESSAGE.test(line)).length, 1);
    t.is(served.target.state.lastDisconnect, "a defect of lunport's own at ring 2");
    first.leave();

    const second = await served.boot();
    t.is((await second.driver.execute(READ)).status, Status.GOOD);
    t.is((await second.driver.execute(TEST_UNIT_READY)).status, Status.GOOD);
    await served.close();
  });
}
