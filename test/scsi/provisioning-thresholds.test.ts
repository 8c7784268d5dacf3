import test from 'ava';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { u16, u32 } from '../../src/scsi/bytes.ts';
import { cdb10, outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';

const MIB = 1 << 20;
const AVAILABLE = 16;
const USED = 24;
const ENABLED = 0x80;
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
const REACHED = '6/38/07';

/** A disk of 8 MiB, thin, with a backing of 6 MiB of which `used` are taken. */
function thin(used = { bytes: 0 }): Core {
  return new Core({
    byteLength: 8 * MIB,
    space: () => ({ used: used.bytes, available: 6 * MIB - used.bytes }),
  });
}

async function modePage(initiator: Initiator): Promise<Uint8Array> {
  const result = await initiator.send({ cdb: [0x5a, 8, 0x1c, 0x02, 0, 0, 0, 0, 64, 0], dataInLength: 64 });
  return result.dataIn.slice(8, 8 + 4 + u16(result.dataIn, 10));
}

/** Enables the descriptor at `at` of the mode page with a count of threshold sets. */
async function enable(core: Core, at: number, count: number): Promise<string> {
  const list = new Uint8Array(8 + 32);
  list.set(await modePage(core.initiator), 8);
  list[8] &= 0x7f;
  list[8 + at] |= ENABLED;
  list[8 + at + 7] = count;
  const cdb = [0x55, 0x10, 0, 0, 0, 0, 0, 0, list.length, 0];
  return outcome(await core.initiator.send({ cdb, dataOut: list }));
}

test('the mode page has a disabled threshold for available and for used space', async (t) => {
  const page = await modePage(thin().initiator);
  t.deepEqual(
    [...page.subarray(0, 4)].map((byte, i) => (i === 0 ? byte & 0x7f : byte)),
    [0x5c, 0x02, 0, 28],
  );
  t.deepEqual([...page.subarray(16, 32)], [0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0]);
});

test('every initiator hears once when the available space falls to the threshold, and again after a recovery', async (t) => {
  const used = { bytes: 0 };
  const core = thin(used);
  const other = core.connect('naa.5000000000000002');
  t.is(await enable(core, AVAILABLE, 2), 'GOOD');
  t.is(outcome(await other.send({ cdb: TEST_UNIT_READY })), '6/2a/01');
  const write = async (mebibytes: number) => {
    used.bytes += mebibytes * MIB;
    const dataOut = new Uint8Array(mebibytes * MIB);
    return outcome(await core.initiator.send({ cdb: cdb10(0x2a, 0, (mebibytes * MIB) / 512), dataOut }));
  };
  const heard = async () => [
    outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })),
    outcome(await other.send({ cdb: TEST_UNIT_READY })),
  ];
  t.is(await write(3), 'GOOD');
  t.deepEqual(await heard(), ['GOOD', 'GOOD']);
  t.is(await write(1), 'GOOD');
  t.deepEqual(await heard(), [REACHED, REACHED]);
  t.is(await write(1), 'GOOD');
  t.deepEqual(await heard(), ['GOOD', 'GOOD'], 'once is enough');
  used.bytes = 0;
  const list = new Uint8Array(24);
  list.set([0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0]);
  await core.initiator.send({ cdb: [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], dataOut: list });
  await write(5);
  t.deepEqual(await heard(), [REACHED, REACHED]);
});

test('a threshold of used space is reached by rising to it', async (t) => {
  const used = { bytes: 0 };
  const core = thin(used);
  t.is(await enable(core, USED, 3), 'GOOD');
  used.bytes = 3 * MIB;
  const dataOut = new Uint8Array(512);
  for (let i = 0; i < 2047; i++) await core.initiator.send({ cdb: cdb10(0x2a, i, 1), dataOut });
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), 'GOOD', 'not looked at yet');
  await core.initiator.send({ cdb: cdb10(0x2a, 0, 1), dataOut });
  t.is(outcome(await core.initiator.send({ cdb: TEST_UNIT_READY })), REACHED);
});

test('the log page counts the space in sets of the size that VPD B2 tells', async (t) => {
  const { initiator } = thin({ bytes: 2 * MIB });
  const vpd = await initiator.send({ cdb: [0x12, 1, 0xb2, 0, 64, 0], dataInLength: 64 });
  t.is(2 ** vpd.dataIn[4] * 512, MIB);
  const { dataIn } = await initiator.send({
    cdb: [0x4d, 0, 0x4c, 0, 0, 0, 0, 0, 64, 0],
    dataInLength: 64,
  });
  t.is(u16(dataIn, 2), 24);
  t.deepEqual([u16(dataIn, 4), u32(dataIn, 8)], [1, 4]);
  t.deepEqual([u16(dataIn, 16), u32(dataIn, 20)], [2, 2]);
});

test('a backstore that knows nothing of its space has no thresholds', async (t) => {
  const { initiator, disk } = new Core();
  t.is(disk.thresholds.exponent, 0);
  const sense = { cdb: [0x5a, 8, 0x1c, 0x02, 0, 0, 0, 0, 64, 0], dataInLength: 64 };
  t.is(outcome(await initiator.send(sense)).slice(0, 7), '5/24/00');
});
