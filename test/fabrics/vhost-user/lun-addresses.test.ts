/** LUNs as a guest names them in requests: every form of virtio 1.2, 5.6.6.1, and as many as there can be. */
import test from 'ava';
import { VirtioScsiResponse } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { MAX_LUN } from '../../../src/scsi/lun-map.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { Served } from '../../support/vhost-user/served.ts';

const HEADER = 8;
const ENTRY = 8;
const LENGTH = HEADER + ENTRY * (MAX_LUN + 1);
const READ = { cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 };
const TEST_UNIT_READY = { cdb: [0, 0, 0, 0, 0, 0] };
const reportLuns = {
  cdb: [0xa0, 0, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (LENGTH >>> shift) & 0xff), 0, 0],
  dataInLength: LENGTH,
};

test('a guest reads from each of 16384 LUNs, by the name that REPORT LUNS has for it', async (t) => {
  const served = await Served.start();
  for (let lun = 1; lun <= MAX_LUN; lun++) served.lunMap.add(lun, served.disk);
  const { driver } = await served.boot();
  const wellKnown = [0xc1, 1, 0, 0, 0, 0, 0, 0];
  await driver.execute({ ...TEST_UNIT_READY, lunField: wellKnown });
  const lists = [wellKnown, [1, 0, 0xc1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0]].map((lunField) =>
    driver.execute({ ...reportLuns, lunField }),
  );
  const [dataIn, ...others] = (await Promise.all(lists)).map((list) => Buffer.from(list.dataIn));
  for (const other of others) t.true(other.equals(dataIn));
  t.is(dataIn.readUInt32BE(0), LENGTH - HEADER);
  for (let from = HEADER; from < LENGTH; from += 64 * ENTRY) {
    const places = Array.from({ length: 64 }, (_, i) => from + i * ENTRY);
    const answers = places.map(async (at) => {
      const lunField = [1, 0, dataIn[at], dataIn[at + 1], 0, 0, 0, 0];
      await driver.execute({ ...TEST_UNIT_READY, lunField });
      return driver.execute({ ...READ, lunField });
    });
    for (const { response, status } of await Promise.all(answers)) {
      if (response !== VirtioScsiResponse.OK || status !== Status.GOOD) t.fail(`near LUN ${from / ENTRY}`);
    }
  }
  t.is((await driver.execute({ ...READ, lunField: [1, 1, 0, 0, 0, 0, 0, 0] })).response, 3, 'another target');
  await served.close();
});
