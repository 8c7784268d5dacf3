/** The configuration space (virtio 1.2, 5.6.4), for front-ends that have none of their own. */
import test, { type ExecutionContext } from 'ava';
import { ConfigMessage, ProtocolFeature, Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { QueueIndex, ScsiConfig } from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { MAX_LUN } from '../../../src/scsi/lun-map.ts';
import {
  type FrontEnd,
  USUAL_FEATURES,
  USUAL_PROTOCOL_FEATURES,
} from '../../support/vhost-user/front-end.ts';
import { config } from '../../support/vhost-user/messages.ts';
import { type Guest, Served } from '../../support/vhost-user/served.ts';

const protocolFeatures = USUAL_PROTOCOL_FEATURES | (1n << BigInt(ProtocolFeature.CONFIG));

async function read(frontEnd: FrontEnd, offset: number, size: number): Promise<Uint8Array> {
  const { payload } = await frontEnd.request(Request.GET_CONFIG, config(offset, size));
  return payload.subarray(Math.min(ConfigMessage.PAYLOAD, payload.length));
}

function write(frontEnd: FrontEnd, offset: number, value: number): Promise<void> {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, value, true);
  return frontEnd.send(Request.SET_CONFIG, config(offset, 4, 0, data));
}

async function withConfig(work: (guest: Guest) => Promise<void>): Promise<Served> {
  const served = await Served.start({ offerConfig: true });
  await work(await served.boot({ features: USUAL_FEATURES, protocolFeatures }));
  return served;
}

test('QEMU is not offered a space that it would only warn of', async (t) => {
  const served = await Served.start();
  const frontEnd = served.connect();
  t.is((await frontEnd.getProtocolFeatures()) & (1n << BigInt(ProtocolFeature.CONFIG)), 0n);
  frontEnd.close();
  await served.close();
});

test('the space can be read as a whole and in parts', async (t) => {
  const served = await withConfig(async ({ frontEnd }) => {
    const whole = await read(frontEnd, 0, ScsiConfig.LENGTH);
    const view = new DataView(whole.buffer, whole.byteOffset);
    t.is(view.getUint32(ScsiConfig.SENSE_SIZE, true), 96);
    t.is(view.getUint32(ScsiConfig.CDB_SIZE, true), 32);
    t.is(view.getUint16(ScsiConfig.MAX_TARGET, true), 255);
    t.is(view.getUint32(ScsiConfig.MAX_LUN, true), MAX_LUN);
    t.deepEqual(
      await read(frontEnd, ScsiConfig.CDB_SIZE, 4),
      whole.slice(ScsiConfig.CDB_SIZE, ScsiConfig.CDB_SIZE + 4),
    );
    t.is(
      (await read(frontEnd, ScsiConfig.LENGTH - 2, 4)).length,
      0,
      'an empty answer says that it is not there',
    );
  });
  await served.close();
});

/** Sends READ(10) past the end with the given sizes; returns the response's bytes. */
async function failedRead(
  { driver, memory }: Guest,
  cdbSize: number,
  senseSize: number,
): Promise<Uint8Array> {
  const request = memory.allocate(19 + cdbSize);
  const response = memory.allocate(12 + senseSize + 512);
  memory
    .bytes(request, 19 + cdbSize)
    .fill(0)
    .set([1, 0, 0x40, 0]);
  memory.bytes(request, 19 + cdbSize).set([0x28, 0, 0xff, 0xff, 0, 0, 0, 0, 1, 0], 19);
  memory.bytes(response, 12 + senseSize + 512).fill(0xee);
  await driver.submit(QueueIndex.FIRST_REQUEST, [
    { address: request, length: 19 + cdbSize, writable: false },
    { address: response, length: 12 + senseSize + 512, writable: true },
  ]);
  return memory.bytes(response, 12 + senseSize + 512).slice();
}

function senseLength(t: ExecutionContext, bytes: Uint8Array, expected: number): void {
  t.is(new DataView(bytes.buffer).getUint32(0, true), expected);
  t.is(bytes[10], 0x02);
  t.is(bytes[12] & 0x7f, 0x70);
}

test('the driver may choose the sizes of CDB and sense data, until it starts anew', async (t) => {
  const served = await withConfig(async (guest) => {
    await write(guest.frontEnd, ScsiConfig.CDB_SIZE, 16);
    await write(guest.frontEnd, ScsiConfig.SENSE_SIZE, 14);
    const bytes = await failedRead(guest, 16, 14);
    senseLength(t, bytes, 14);
    t.true(
      bytes.subarray(12 + 14).every((byte) => byte === 0xee),
      'not a byte more',
    );
    await write(guest.frontEnd, ScsiConfig.SENSE_SIZE, 0);
    t.is((await failedRead(guest, 16, 0))[10], 0x02);
    await guest.driver.resetDevice();
    const space = await read(guest.frontEnd, ScsiConfig.SENSE_SIZE, 8);
    t.deepEqual([...space], [96, 0, 0, 0, 32, 0, 0, 0]);
  });
  await served.close();
});

test('who knows nothing of the device may write the whole space to change its sizes', async (t) => {
  const served = await withConfig(async ({ frontEnd }) => {
    const whole = (await read(frontEnd, 0, ScsiConfig.LENGTH)).slice();
    whole[ScsiConfig.CDB_SIZE] = 16;
    await frontEnd.send(Request.SET_CONFIG, config(0, whole.length, 0, whole));
    t.deepEqual(await read(frontEnd, 0, ScsiConfig.LENGTH), whole);
    await frontEnd.send(Request.SET_CONFIG, config(ScsiConfig.SENSE_SIZE, 1, 0, Uint8Array.of(18)));
    t.is((await read(frontEnd, ScsiConfig.SENSE_SIZE, 1))[0], 18);
  });
  await served.close();
});

test('a migration brings a whole space, of which the sizes are taken', async (t) => {
  const served = await withConfig(async ({ frontEnd }) => {
    const whole = (await read(frontEnd, 0, ScsiConfig.LENGTH)).slice();
    const brought = new Uint8Array(ScsiConfig.LENGTH).fill(0x11);
    for (const at of [ScsiConfig.SENSE_SIZE, ScsiConfig.CDB_SIZE]) {
      brought.set([20, 0, 0, 0], at);
      whole.set([20, 0, 0, 0], at);
    }
    await frontEnd.send(Request.SET_CONFIG, config(0, brought.length, ConfigMessage.MIGRATION, brought));
    t.deepEqual(await read(frontEnd, 0, ScsiConfig.LENGTH), whole);
  });
  await served.close();
});

const refused: readonly [string, number, number][] = [
  ['the number of queues', ScsiConfig.NUM_QUEUES, 1],
  ['a CDB shorter than any', ScsiConfig.CDB_SIZE, 5],
  ['a CDB longer than any', ScsiConfig.CDB_SIZE, 261],
  ['sense data longer than any', ScsiConfig.SENSE_SIZE, 253],
  ['behind the end', ScsiConfig.LENGTH - 2, 0],
];

for (const [what, offset, value] of refused) {
  test(`writing ${what} ends the connection`, async (t) => {
    const served = await withConfig(async ({ frontEnd }) => {
      await t.throwsAsync(write(frontEnd, offset, value));
      await frontEnd.closed;
    });
    await served.close();
  });
}

test('with a CDB of 6 bytes, a longer command is refused where it ends, and takes nothing from the one before', async (t) => {
  const served = await withConfig(async (guest) => {
    await write(guest.frontEnd, ScsiConfig.CDB_SIZE, 6);
    await write(guest.frontEnd, ScsiConfig.SENSE_SIZE, 18);
    const request = guest.memory.allocate(25);
    const response = guest.memory.allocate(30);
    guest.memory.bytes(request, 25).fill(0).set([1, 0, 0x40, 0]);
    guest.memory.bytes(request, 25).set([0x2a, 0, 0, 0, 0, 0], 19);
    await guest.driver.submit(QueueIndex.FIRST_REQUEST, [
      { address: request, length: 25, writable: false },
      { address: response, length: 30, writable: true },
    ]);
    const bytes = guest.memory.bytes(response, 30).slice();
    t.is(bytes[10], 0x02);
    // INVALID FIELD IN CDB, byte 6.
    t.deepEqual([bytes[14], bytes[24], bytes[25], bytes[29]], [0x05, 0x24, 0x00, 6]);
  });
  await served.close();
});
