/** Protection information in virtio-scsi requests (virtio 1.2, 5.6.6.1, T10_PI), up to what lies on the medium. */
import test, { type ExecutionContext } from 'ava';
import { RamBackstore } from '../../../src/backstores/ram-backstore.ts';
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import { ScsiFeature, VirtioScsiResponse } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { DEFAULT_ATTRIBUTES } from '../../../src/scsi/device-attributes.ts';
import { Disk } from '../../../src/scsi/disk.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { pattern } from '../../support/block-cdbs.ts';
import { TEST_IDENTITY } from '../../support/core.ts';
import { interleave } from '../../support/protection.ts';
import { LAYOUTS } from '../../support/vhost-user/descriptor-layout.ts';
import { USUAL_FEATURES } from '../../support/vhost-user/front-end.ts';
import { type Guest, type GuestOptions, Served, senseCode } from '../../support/vhost-user/served.ts';

const WITH_PI = { features: USUAL_FEATURES | featureSet(ScsiFeature.T10_PI) };
const LUN = 1;
/** RDPROTECT and WRPROTECT 001b: check everything. */
const CHECKED = 0x20;
const read10 = (lba: number, blocks: number, flags = CHECKED) => [0x28, flags, 0, 0, 0, lba, 0, 0, blocks, 0];
const write10 = (lba: number, blocks: number) => [0x2a, CHECKED, 0, 0, 0, lba, 0, 0, blocks, 0];

/** The protection information of `data` alone. */
function tuplesOf(data: Uint8Array, reference: number): Uint8Array {
  const blocks = interleave(data, { application: 7, reference });
  return blocks.filter((_, i) => i % 520 >= 512);
}

/** A target whose LUN 1 is formatted with type 1 protection, and a guest on it. */
async function withProtection(
  t: ExecutionContext,
  options: GuestOptions,
  body: (guest: Guest, served: Served) => Promise<void>,
): Promise<void> {
  const served = await Served.start();
  const { engine, memory, environment } = served.shard;
  const tuples = new RamBackstore('tuples', 1 << 15, engine, memory);
  const disk = new Disk(environment, served.backstore, {
    identity: TEST_IDENTITY,
    attributes: { ...DEFAULT_ATTRIBUTES, pi_prot_type: 1 },
    protection: tuples,
  });
  served.lunMap.add(LUN, disk);
  const guest = await served.boot({ ...WITH_PI, ...options });
  try {
    const attention = await guest.driver.execute({ cdb: [0, 0, 0, 0, 0, 0], lun: LUN });
    t.is(attention.status, Status.CHECK_CONDITION);
    await body(guest, served);
  } finally {
    await served.close();
    await tuples.close();
  }
}

for (const [name, layout] of Object.entries(LAYOUTS)) {
  // A descriptor for each byte: no ring is long enough for two blocks.
  const blocks = name === 'singleBytes' ? 1 : 2;
  test(`protection information makes the round trip apart from the data, layout ${name}`, (t) =>
    withProtection(t, { layout, queueSize: 1024, indirect: true }, async ({ driver }) => {
      const dataOut = pattern(blocks * 512, 3);
      const protectionOut = tuplesOf(dataOut, 40);
      const written = await driver.execute({ lun: LUN, cdb: write10(40, blocks), dataOut, protectionOut });
      t.is(written.response, VirtioScsiResponse.OK);
      t.is(written.status, Status.GOOD);
      t.is(written.residual, 0);
      const read = await driver.execute({
        lun: LUN,
        cdb: read10(40, blocks),
        dataInLength: blocks * 512,
        protectionInLength: blocks * 8,
      });
      t.is(read.status, Status.GOOD);
      t.is(read.residual, 0);
      t.is(read.written, 108 + blocks * 520);
      t.deepEqual(read.protectionIn, protectionOut);
      t.deepEqual(read.dataIn, dataOut);
    }));
}

test('a guard that does not fit its block is refused, and nothing is written', (t) =>
  withProtection(t, {}, async ({ driver }) => {
    const dataOut = pattern(512, 3);
    const protectionOut = tuplesOf(dataOut, 40);
    protectionOut[0] ^= 1;
    const written = await driver.execute({ lun: LUN, cdb: write10(40, 1), dataOut, protectionOut });
    t.is(written.status, Status.CHECK_CONDITION);
    t.is(senseCode(written.sense), 0x1001);
    const plain = await driver.execute({ lun: LUN, cdb: read10(40, 1, 0), dataInLength: 512 });
    t.deepEqual(plain.dataIn, new Uint8Array(512));
  }));

const short: readonly [string, number, number, number, number][] = [
  ['data for one block of two', 512, 16, VirtioScsiResponse.OVERRUN, 512],
  ['protection information for one block of two', 1024, 8, VirtioScsiResponse.OK, 512],
  ['protection information and no data', 0, 16, VirtioScsiResponse.OVERRUN, 0],
];
for (const [what, dataInLength, protectionInLength, response, moved] of short) {
  test(`a READ with ${what} gets whole blocks only`, (t) =>
    withProtection(t, {}, async ({ driver }) => {
      const cdb = read10(8, 2);
      const read = await driver.execute({ lun: LUN, cdb, dataInLength, protectionInLength });
      t.is(read.response, response);
      t.is(read.residual, dataInLength - moved);
      t.deepEqual(read.dataIn.subarray(moved), new Uint8Array(dataInLength - moved).fill(0xee));
    }));
}

test('a WRITE with less protection information than data writes whole blocks of both only', (t) =>
  withProtection(t, {}, async ({ driver }) => {
    const dataOut = pattern(1024, 3);
    const protectionOut = tuplesOf(dataOut, 40).subarray(0, 8);
    const written = await driver.execute({ lun: LUN, cdb: write10(40, 2), dataOut, protectionOut });
    t.is(written.residual, 512);
    const plain = await driver.execute({ lun: LUN, cdb: read10(40, 2, 0), dataInLength: 1024 });
    t.deepEqual(plain.dataIn, Uint8Array.from([...dataOut.subarray(0, 512), ...new Uint8Array(512)]));
  }));

test('a command without protection information leaves its buffer alone', (t) =>
  withProtection(t, {}, async ({ driver }) => {
    const request = { dataInLength: 512, protectionInLength: 8 };
    const read = await driver.execute({ ...request, lun: LUN, cdb: read10(8, 1, 0) });
    t.is(read.status, Status.GOOD);
    t.deepEqual(read.protectionIn, new Uint8Array(8).fill(0xee));
    t.deepEqual(read.dataIn, new Uint8Array(512));
  }));

for (const claimedProtection of [
  { out: 521, in: 0 },
  { out: 0xffff_ffff, in: 0 },
  { out: 0, in: 8 },
]) {
  test(`a header that claims ${claimedProtection.out} and ${claimedProtection.in} bytes it has not is refused`, (t) =>
    withProtection(t, {}, async ({ driver }) => {
      const dataOut = new Uint8Array(520);
      const written = await driver.execute({ lun: LUN, cdb: write10(1, 1), dataOut, claimedProtection });
      t.is(written.response, VirtioScsiResponse.FAILURE);
    }));
}

test('a driver that does not take T10_PI has the short header', (t) =>
  withProtection(t, { features: USUAL_FEATURES }, async ({ driver }) => {
    const dataOut = interleave(pattern(512, 3), { reference: 9 });
    const written = await driver.execute({ lun: LUN, cdb: write10(9, 1), dataOut });
    t.is(written.status, Status.GOOD);
  }));
