import test from 'ava';
import { cdb16, outcome, pattern } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';

const rows: [string, Uint8Array, number, string][] = [
  ['of one block', cdb16(0x8b, 7, 1), 512, 'GOOD'],
  ['of 2000 blocks, which are several chunks', cdb16(0x8b, 3, 2000), 2000 * 512, 'GOOD'],
  ['of no blocks', cdb16(0x8b, 7, 0), 0, 'GOOD'],
  ['of no blocks past the end', cdb16(0x8b, 2049, 0), 0, '5/21/00@2'],
  ['past the end', cdb16(0x8b, 2047, 2), 1024, '5/21/00@2'],
  ['with ORPROTECT', cdb16(0x8b, 0, 1, 0x20), 512, '5/24/00@1.7'],
  ['with too little data', cdb16(0x8b, 0, 2), 512, '5/24/00@10'],
  ['with DPO and FUA', cdb16(0x8b, 0, 1, 0x18), 512, 'GOOD'],
];
for (const [title, cdb, length, expected] of rows) {
  test(`ORWRITE ${title}: ${expected}`, async (t) => {
    const core = new Core();
    const old = pattern(core.backstore.byteLength, 9);
    core.backstore.bytes.set(old);
    const dataOut = pattern(length, 4);
    t.is(outcome(await core.initiator.send({ cdb, dataOut })), expected);
    if (expected === 'GOOD') for (const [i, byte] of dataOut.entries()) old[cdb[9] * 512 + i] |= byte;
    t.deepEqual(core.backstore.bytes, old);
    t.is(core.environment.memory.outstanding, 0);
  });
}
