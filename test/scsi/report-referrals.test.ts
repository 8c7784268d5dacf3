import test from 'ava';
import { AccessState } from '../../src/scsi/alua-spec.ts';
import { u16, u64 } from '../../src/scsi/bytes.ts';
import { TargetPortGroup } from '../../src/scsi/target-port-group.ts';
import { outcome } from '../support/block-cdbs.ts';
import { Core } from '../support/core.ts';

const referrals = (lba = 0, length = 64) => ({
  cdb: [0x9e, 0x13, 0, 0, 0, 0, 0, 0, lba >> 8, lba & 0xff, 0, 0, 0, length, 0, 0],
  dataInLength: length,
});

test('one segment of all blocks is reached through every group, each in its state', async (t) => {
  const core = new Core();
  const groups = [1, 2].map((id) => new TargetPortGroup({ id, ports: [id] }));
  for (const group of groups) core.disk.alua.addGroup(group);
  core.connect('naa.5000000000000002', 2);
  await groups[1].transition(AccessState.STANDBY, core.environment);
  core.initiator.nexus.unit(0)!.unitAttentions.clearAll();
  const { dataIn, transferred } = await core.initiator.send(referrals());
  t.is(transferred, 32);
  t.is(u16(dataIn, 2), 28);
  t.is(dataIn[7], 2);
  t.is(u64(dataIn, 8), 0);
  t.is(u64(dataIn, 16), core.disk.blockCount - 1);
  t.deepEqual([...dataIn.subarray(24, 32)], [0, 0, 0, 1, 2, 0, 0, 2]);
});

test('an LBA past the end is refused', async (t) => {
  const { initiator, disk } = new Core();
  t.is(outcome(await initiator.send(referrals(disk.blockCount - 1))), 'GOOD');
  t.is(outcome(await initiator.send(referrals(disk.blockCount))), '5/21/00@2');
});

test('without ALUA there is nothing to refer to', async (t) => {
  const { initiator } = new Core({ attributes: { alua_support: 0 } });
  t.is(outcome(await initiator.send(referrals())), '5/24/00@1.4');
  const page = { cdb: [0x12, 1, 0xb3, 0, 64, 0], dataInLength: 64 };
  t.is(outcome(await initiator.send(page)), '5/24/00@2');
});
