import test from 'ava';
import { Status } from '../../src/scsi/status-spec.ts';
import { Core } from '../support/core.ts';

test('WRITE(10) then READ(16) returns the same blocks', async (t) => {
  const { initiator } = new Core();
  const data = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
  const written = await initiator.send({ cdb: [0x2a, 0, 0, 0, 0, 5, 0, 0, 2, 0], dataOut: data });
  t.is(written.status, Status.GOOD);
  const read = await initiator.send({
    cdb: [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0],
    dataInLength: 1024,
  });
  t.is(read.status, Status.GOOD);
  t.deepEqual(read.dataIn, data);
  t.is(read.residual, 0);
});

test('an LBA past the end is refused with a pointer to the field', async (t) => {
  const { initiator } = new Core();
  const result = await initiator.send({ cdb: [0x28, 0, 0xff, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 });
  t.is(result.status, Status.CHECK_CONDITION);
  t.is(result.sense[2], 0x05);
  t.is(result.sense[12], 0x21);
  t.deepEqual([...result.sense.subarray(15, 18)], [0xc0, 0, 2]);
});
