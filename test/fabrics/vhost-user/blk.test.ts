/** The virtio block device (virtio 1.2, 5.2), over a real socket and rings. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { BackendRequest, ConfigMessage, Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import {
  BlkConfig,
  BlkFeature,
  BlkStatus,
  BlkType,
  RANGE_UNMAP,
} from '../../../src/fabrics/vhost-user/virtio-blk-spec.ts';
import { OperationKind } from '../../../src/scsi/backstore.ts';
import { runOperation } from '../../../src/target/operations/table.ts';
import { Server } from '../../../src/target/server.ts';
import { pattern } from '../../support/block-cdbs.ts';
import { luns } from '../../support/luns.ts';
import { BlkGuest, type BlkOptions, type BlkRequest, UNTOUCHED } from '../../support/vhost-user/blk-guest.ts';
import { ByteBuilder } from '../../support/vhost-user/byte-builder.ts';
import { LAYOUTS } from '../../support/vhost-user/descriptor-layout.ts';
import { config } from '../../support/vhost-user/messages.ts';
import { ServedBlk } from '../../support/vhost-user/served-blk.ts';

const { IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES } = BlkType;
const { OK, IOERR, UNSUPP } = BlkStatus;
/** Types of persistent reservations (SPC-4 table 51). */
const WRITE_EXCLUSIVE = 1;
const EXCLUSIVE_ACCESS = 3;

async function start(
  t: ExecutionContext,
  disk = 'ram:1M,serial=BLOCK-1',
  options?: BlkOptions,
): Promise<ServedBlk> {
  const served = await ServedBlk.start(disk, options);
  t.teardown(() => served.close());
  return served;
}

/** By another initiator. */
async function reserve(served: ServedBlk, type: number): Promise<void> {
  const other = served.server.targets[0].initiator('other', served.server.shard.environment);
  for (let i = 0; i < 3; i++) await other.send({ cdb: [0, 0, 0, 0, 0, 0] });
  await other.send({ cdb: [0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: new Uint8Array(24).fill(1, 8, 16) });
  const dataOut = new Uint8Array(24).fill(1, 0, 8);
  const { status } = await other.send({ cdb: [0x5f, 1, type, 0, 0, 0, 0, 0, 24, 0], dataOut });
  if (status !== 0) throw new Error(`the reservation ended with status ${status}`);
}

interface Range {
  readonly sector: number | bigint;
  readonly sectors: number;
  readonly flags?: number;
}

function ranges(...list: readonly Range[]): Uint8Array {
  const builder = new ByteBuilder();
  for (const { sector, sectors, flags = 0 } of list) builder.u64(BigInt(sector)).u32(sectors, flags);
  return builder.build();
}

for (const [name, layout] of Object.entries(LAYOUTS)) {
  test(`what was written is read back, layout ${name}`, async (t) => {
    const served = await start(t);
    const dataOut = pattern(512, 7);
    t.deepEqual(await served.execute({ type: OUT, sector: 9, dataOut, layout }), {
      status: OK,
      dataIn: new Uint8Array(0),
      written: 1,
    });
    const read = await served.execute({ type: IN, sector: 8, dataInLength: 1024, layout: LAYOUTS.pages });
    t.is(read.status, OK);
    t.is(read.written, 1025);
    t.deepEqual(read.dataIn.subarray(512), dataOut);
  });
}

test('a flush, and the serial number in twenty bytes', async (t) => {
  const served = await start(t);
  t.is((await served.execute({ type: FLUSH })).status, OK);
  const id = await served.execute({ type: GET_ID, dataInLength: 20 });
  t.is(id.status, OK);
  t.is(Buffer.from(id.dataIn).toString(), `BLOCK-1${'\0'.repeat(13)}`);
});

test('ranges are discarded and zeroed, one after the other', async (t) => {
  const served = await start(t);
  const dataOut = pattern(65536, 3);
  await served.execute({ type: OUT, dataOut });
  const two = ranges({ sector: 8, sectors: 8 }, { sector: 32, sectors: 8 });
  t.is((await served.execute({ type: DISCARD, dataOut: two })).status, OK);
  const more = ranges({ sector: 48, sectors: 1 }, { sector: 64, sectors: 8, flags: RANGE_UNMAP });
  t.is((await served.execute({ type: WRITE_ZEROES, dataOut: more })).status, OK);
  const expected = dataOut.slice();
  for (const [sector, sectors] of [
    [8, 8],
    [32, 8],
    [48, 1],
    [64, 8],
  ])
    expected.fill(0, sector * 512, (sector + sectors) * 512);
  t.deepEqual((await served.execute({ type: IN, dataInLength: 65536 })).dataIn, expected);
});

test('nothing is discarded or zeroed when one of the ranges makes no sense', async (t) => {
  const served = await start(t);
  const dataOut = pattern(4096, 5);
  await served.execute({ type: OUT, dataOut });
  for (const wrong of [ranges({ sector: 2048, sectors: 1 }), ranges({ sector: 0, sectors: 1, flags: 2 })]) {
    for (const type of [DISCARD, WRITE_ZEROES]) {
      const two = Uint8Array.of(...ranges({ sector: 0, sectors: 8 }), ...wrong);
      t.not((await served.execute({ type, dataOut: two })).status, OK);
    }
  }
  t.deepEqual((await served.execute({ type: IN, dataInLength: 4096 })).dataIn, dataOut);
});

test('the used length counts no byte that was not written', async (t) => {
  const served = await start(t);
  t.is((await served.execute({ type: GET_ID, dataInLength: 20 })).written, 21);
  t.is((await served.execute({ type: GET_ID, dataInLength: 8 })).written, 9);
  t.is((await served.execute({ type: GET_ID, dataInLength: 64 })).written, 20);
  t.is((await served.execute({ type: IN, sector: 2048, dataInLength: 512 })).written, 0);
  t.is((await served.execute({ type: FLUSH, dataInLength: 512 })).written, 0);
  t.is((await served.execute({ type: 99 })).written, 1);
});

test('writes are stable where the driver knows no flush, or wants no cache that the unit keeps', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const disk = `${join(folder.path, 'disk.img')},create,size=1M`;
  for (const without of [[], [BlkFeature.FLUSH], [BlkFeature.FLUSH, BlkFeature.CONFIG_WCE]]) {
    const served = await ServedBlk.start(disk, { without });
    try {
      const { unit } = served.server.targets[0].disks.get(0)!;
      const stable: boolean[] = [];
      const start = unit.backstore.start.bind(unit.backstore);
      unit.backstore.start = (operation) => {
        if (operation.kind === OperationKind.WRITE) stable.push(operation.forceUnitAccess);
        start(operation);
      };
      const write = () => served.execute({ type: OUT, dataOut: new Uint8Array(512) });
      const writeback = async () =>
        (await served.readConfig(0, BlkConfig.LENGTH)).getUint8(BlkConfig.WRITEBACK);
      await write();
      t.deepEqual(stable, [without.length > 0]);
      t.is(await writeback(), without.length > 0 ? 0 : 1);
      if (without.length > 0) continue;
      await reserve(served, WRITE_EXCLUSIVE);
      const switchTo = (value: number) =>
        served.frontEnd.send(Request.SET_CONFIG, config(BlkConfig.WRITEBACK, 1, 0, Uint8Array.of(value)));
      await switchTo(0);
      t.true(unit.writeCacheEnabled);
      t.is(await writeback(), 0);
      await switchTo(1);
      t.is(await writeback(), 1);
    } finally {
      await served.close();
    }
  }
});

const refused: readonly [string, BlkRequest, number][] = [
  ['a read past the end', { type: IN, sector: 2047, dataInLength: 1024 }, IOERR],
  ['a write past the end', { type: OUT, sector: 2048, dataOut: new Uint8Array(512) }, IOERR],
  ['the highest sector', { type: IN, sector: 2n ** 64n - 1n, dataInLength: 512 }, IOERR],
  ['half a sector', { type: IN, dataInLength: 256 }, IOERR],
  ['a read of data that is sent', { type: IN, dataOut: new Uint8Array(512) }, IOERR],
  ['a write to data that is awaited', { type: OUT, dataInLength: 512 }, IOERR],
  ['data both ways', { type: OUT, dataOut: new Uint8Array(512), dataInLength: 512 }, IOERR],
  ['a serial number for nobody', { type: GET_ID }, IOERR],
  ['an unknown type', { type: 99 }, UNSUPP],
  ['SCSI passthrough', { type: 2, dataInLength: 96 }, UNSUPP],
  ['secure erase', { type: 14, dataOut: ranges({ sector: 0, sectors: 8 }) }, UNSUPP],
  ['a discard without ranges', { type: DISCARD }, IOERR],
  ['half a range', { type: DISCARD, dataOut: new Uint8Array(8) }, IOERR],
  ['too many ranges', { type: DISCARD, dataOut: new Uint8Array(16 * 33) }, IOERR],
  ['a range past the end', { type: DISCARD, dataOut: ranges({ sector: 2040, sectors: 9 }) }, IOERR],
  [
    'a second range past the end',
    { type: WRITE_ZEROES, dataOut: ranges({ sector: 0, sectors: 1 }, { sector: 2n ** 63n, sectors: 1 }) },
    IOERR,
  ],
  ['a discard with "unmap"', { type: DISCARD, dataOut: ranges({ sector: 0, sectors: 1, flags: 1 }) }, UNSUPP],
  ['a reserved flag', { type: WRITE_ZEROES, dataOut: ranges({ sector: 0, sectors: 1, flags: 6 }) }, UNSUPP],
];
for (const [title, request, status] of refused) {
  test(`${title} ends with status ${status}, and the device works on`, async (t) => {
    const served = await start(t);
    t.is((await served.execute(request)).status, status);
    t.is((await served.execute({ type: IN, dataInLength: 512 })).status, OK);
  });
}

test('a chain without room for a status goes back untouched', async (t) => {
  const served = await start(t);
  const { memory, driver } = served;
  const address = memory.allocate(32);
  t.is(await driver.submit(0, [{ address, length: 16, writable: false }]), 0);
  t.is(served.server.targets[0].vhostUser[0].state.frontEnd!.requests.unanswerable, 1);
});

test('a header that is too short is answered with an error', async (t) => {
  const served = await start(t);
  const { memory, driver } = served;
  const address = memory.allocate(32);
  const answer = memory.bytes(address + 16, 1).fill(UNTOUCHED);
  await driver.submit(0, [
    { address, length: 8, writable: false },
    { address: address + 16, length: 1, writable: true },
  ]);
  t.is(answer[0], IOERR);
});

test('a disk with blocks of 4096 bytes takes whole blocks only, and says so', async (t) => {
  const served = await start(t, 'ram:1M,block-size=4096');
  t.is((await served.readConfig(0, BlkConfig.LENGTH)).getUint32(BlkConfig.BLK_SIZE, true), 4096);
  t.is((await served.execute({ type: IN, sector: 8, dataInLength: 4096 })).status, OK);
  t.is((await served.execute({ type: IN, sector: 1, dataInLength: 4096 })).status, IOERR);
  t.is((await served.execute({ type: IN, dataInLength: 512 })).status, IOERR);
});

test('a read-only disk says so, and fails writes', async (t) => {
  const served = await start(t, 'null:1M,ro');
  t.not((await served.frontEnd.getFeatures()) & (1n << BigInt(BlkFeature.RO)), 0n);
  t.is((await served.execute({ type: OUT, dataOut: new Uint8Array(512) })).status, IOERR);
});

test('the configuration space tells size and limits; only the cache can be written', async (t) => {
  const served = await start(t);
  const view = await served.readConfig(0, BlkConfig.LENGTH);
  t.is(view.getBigUint64(BlkConfig.CAPACITY, true), 2048n);
  t.is(view.getUint32(BlkConfig.BLK_SIZE, true), 512);
  t.is(view.getUint8(BlkConfig.PHYSICAL_BLOCK_EXPONENT), 3);
  t.is(view.getUint32(BlkConfig.MAX_DISCARD_SEG, true), 32);
  t.true(view.getUint32(BlkConfig.MAX_WRITE_ZEROES_SECTORS, true) > 0);
  t.is((await served.readConfig(BlkConfig.LENGTH - 2, 4)).byteLength, 0);
  const { frontEnd } = served;
  await t.throwsAsync(frontEnd.send(Request.SET_CONFIG, config(0, 8, 0, new Uint8Array(8))));
});

test('a resize is announced on the back-end channel, and the new size is there by then', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const served = await start(t, `${join(folder.path, 'disk.img')},create,size=1M`);
  const announced = new Promise<number>((resolve) => {
    served.channel.onFrame = ({ request }) => resolve(request);
  });
  await runOperation(served.server, 'resize', { lun: 0, size: 2 << 20 });
  t.is(await announced, BackendRequest.CONFIG_CHANGE_MSG);
  t.is((await served.readConfig(0, BlkConfig.LENGTH)).getBigUint64(BlkConfig.CAPACITY, true), 4096n);
  t.is((await served.execute({ type: IN, sector: 4095, dataInLength: 512 })).status, OK);
});

test('a resize while all rings are stopped is announced when one starts again, not before', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const served = await start(t, `${join(folder.path, 'disk.img')},create,size=1M`);
  const { frontEnd, driver, memory } = served;
  const bases = await Promise.all(driver.queues.map((_queue, index) => frontEnd.getVringBase(index)));
  const seen: number[] = [];
  const announced = new Promise<void>((resolve) => {
    served.channel.onFrame = ({ request }) => {
      seen.push(request);
      resolve();
    };
  });
  await runOperation(served.server, 'resize', { lun: 0, size: 2 << 20 });
  // An answer comes after whatever was sent before it.
  await frontEnd.getFeatures();
  t.deepEqual(seen, []);
  for (const [index, queue] of driver.queues.entries()) {
    await frontEnd.setUpRing(index, queue, memory, bases[index]);
  }
  await announced;
  t.is((await served.execute({ type: IN, sector: 4095, dataInLength: 512 })).status, OK);
  t.deepEqual(seen, [BackendRequest.CONFIG_CHANGE_MSG], 'once');
});

test('the driver switches the write cache, and every initiator sees it', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const served = await start(t, `${join(folder.path, 'disk.img')},create,size=1M`);
  const { unit } = served.server.targets[0].disks.get(0)!;
  for (const writeback of [0, 1]) {
    await served.frontEnd.send(
      Request.SET_CONFIG,
      config(BlkConfig.WRITEBACK, 1, 0, Uint8Array.of(writeback)),
    );
    t.is(unit.writeCacheEnabled, writeback === 1);
    t.is((await served.readConfig(0, BlkConfig.LENGTH)).getUint8(BlkConfig.WRITEBACK), writeback);
  }
});

test('who knows nothing of the device may write its whole space to switch the cache', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const served = await start(t, `${join(folder.path, 'disk.img')},create,size=1M`);
  const { unit } = served.server.targets[0].disks.get(0)!;
  const space = await served.readConfig(0, BlkConfig.LENGTH);
  const whole = new Uint8Array(space.buffer, space.byteOffset, BlkConfig.LENGTH).slice();
  const writeSpace = (flags: number, bytes: Uint8Array<ArrayBuffer>) =>
    served.frontEnd.send(Request.SET_CONFIG, config(0, bytes.length, flags, bytes));
  whole[BlkConfig.WRITEBACK] = 0;
  await writeSpace(0, whole);
  t.false(unit.writeCacheEnabled);
  await writeSpace(0, whole.subarray(0, 8));
  t.false(unit.writeCacheEnabled, 'a write of other bytes is none of the cache');
  // Of what a migration brings, all else is ignored.
  await writeSpace(ConfigMessage.MIGRATION, new Uint8Array(BlkConfig.LENGTH).fill(1));
  t.true(unit.writeCacheEnabled);
  const after = await served.readConfig(0, BlkConfig.LENGTH);
  t.is(after.getBigUint64(BlkConfig.CAPACITY, true), 2048n);
});

test('a block device has one disk that stays', async (t) => {
  const { server } = await start(t);
  for (const [name, params] of [
    ['add', { disk: 'ram:1M' }],
    ['remove', { lun: 0 }],
  ] as const)
    await t.throwsAsync(runOperation(server, name, params), { code: 'one-disk-only' });
});

test('a block device whose disk could not be had gets another one, and is there then', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = join(folder.path, 'blk.sock');
  const silent = () => {};
  const server = await Server.open(
    [{ sockets: [{ path, role: 'listen' }], luns: luns(join(folder.path, 'missing.img')), device: 'blk' }],
    {
      io: 'auto',
      stateDirectory: undefined,
      iscsi: undefined,
      partial: true,
      log: { debug: silent, info: silent, warn: silent, error: silent },
    },
  );
  t.teardown(() => server.close());
  const add = (lun: number) => runOperation(server, 'add', { disk: 'ram:1M', lun });
  await t.throwsAsync(add(0), { code: 'lun-taken' });
  await runOperation(server, 'remove', { lun: 0 });
  await t.throwsAsync(add(1), { code: 'one-disk-only' });
  t.false(existsSync(path));
  await add(0);
  const guest = await BlkGuest.connect(path);
  t.is((await guest.execute({ type: IN, dataInLength: 512 })).status, OK);
  await guest.close();
});

test('another initiator’s reservation holds for the guest', async (t) => {
  const served = await start(t);
  await reserve(served, EXCLUSIVE_ACCESS);
  t.is((await served.execute({ type: IN, dataInLength: 512 })).status, IOERR);
});

test('a front-end that leaves with requests under way takes nothing with it', async (t) => {
  const served = await start(t);
  for (let i = 0; i < 50; i++) void served.execute({ type: OUT, sector: i, dataOut: pattern(512, i) });
  served.frontEnd.close();
  await served.server.targets[0].vhostUser[0].close();
  t.pass();
});
