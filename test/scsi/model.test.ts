/**
 * Random commands from several I_T nexuses to one disk, each answer compared with a model that is small and
 * obviously right: data, reservations of both kinds, unit attentions, mode pages, resets.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import type { CommandResult, Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { u16, u32, u64 } from '../../src/scsi/bytes.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { manage, TaskManagementFunction } from '../../src/scsi/task-management.ts';
import { Core } from '../support/core.ts';
import { modelCommand } from '../support/model/commands.ts';
import { BLOCK, BLOCKS, DiskModel } from '../support/model/disk-model.ts';
import { type Expected, NEXUSES } from '../support/model/expected.ts';
import type { ModelCommand } from '../support/model/model-command.ts';

/** Commands altogether; at most COMMANDS_PER_RUN of them meet the same disk. */
const COMMANDS = 100_000;
const COMMANDS_PER_RUN = 200;
const RUNS_AT_A_TIME = 100;

type Step =
  | { readonly who: number; readonly command: ModelCommand }
  | { readonly who: number; readonly reset: 'unit' | 'nexus' };

const who = fc.nat(NEXUSES - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 60, arbitrary: fc.record({ who, command: modelCommand }) },
  { weight: 1, arbitrary: fc.record({ who, reset: fc.constantFrom('unit' as const, 'nexus' as const) }) },
);

/** The disk under test with its initiators: two through one target port, one through another. */
function setUp(): { core: Core; initiators: Initiator[] } {
  const core = new Core({ byteLength: BLOCKS * BLOCK });
  const initiators = [
    core.initiator,
    core.connect('naa.5000000000000002'),
    core.connect('naa.5000000000000003', 2),
  ];
  return { core, initiators };
}

/** What of a result the model speaks about. */
function seen(result: CommandResult, { look }: ModelCommand, dSense: boolean): Expected {
  if (result.status === Status.CHECK_CONDITION)
    return { status: result.status, ...decodeSense(result.sense, dSense) };
  const { dataIn } = result;
  if (result.status !== Status.GOOD || dataIn.length === 0) return { status: result.status };
  return { status: result.status, data: look === undefined ? dataIn : look(dataIn) };
}

/** Sense data in the format that D_SENSE asks for (SPC-4 4.5). */
function decodeSense(sense: Uint8Array, dSense: boolean): Pick<Expected, 'sense' | 'information'> {
  assert.equal(sense[0] & 0x7f, dSense ? 0x72 : 0x70);
  if (!dSense) {
    const code = { key: sense[2] & 0x0f, code: u16(sense, 12) };
    return (sense[0] & 0x80) === 0 ? { sense: code } : { sense: code, information: u32(sense, 3) };
  }
  const code = { key: sense[1] & 0x0f, code: u16(sense, 2) };
  for (let at = 8; at < sense.length; at += 2 + sense[at + 1]) {
    if (sense[at] === 0x00) return { sense: code, information: u64(sense, at + 4) };
  }
  return { sense: code };
}

function reset(initiator: Initiator, kind: 'unit' | 'nexus'): Promise<void> {
  const { LOGICAL_UNIT_RESET, I_T_NEXUS_RESET } = TaskManagementFunction;
  const func = kind === 'unit' ? LOGICAL_UNIT_RESET : I_T_NEXUS_RESET;
  return new Promise((resolve) => {
    manage({ function: func, nexus: initiator.nexus, lun: 0, tagHigh: 0, tagLow: 0 }, () => resolve());
  });
}

test(`${COMMANDS} random commands are answered as the model says`, async (t) => {
  let sent = 0;
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: COMMANDS_PER_RUN, size: 'max' }),
    async (steps) => {
      const { core, initiators } = setUp();
      const model = new DiskModel();
      for (const [at, one] of steps.entries()) {
        if ('reset' in one) {
          await reset(initiators[one.who], one.reset);
          if (one.reset === 'unit') model.resetUnit();
          else model.resetNexus(one.who);
          continue;
        }
        const { dSense } = model.control;
        const { request } = one.command;
        const ready = typeof request === 'function' ? request(model, one.who) : request;
        const expected = model.run(one.who, one.command.nature, () => one.command.perform(model, one.who));
        const actual = seen(await initiators[one.who].send(ready), one.command, dSense);
        const { data, ...rest } = expected;
        const wanted = data === undefined || data.length === 0 ? rest : { ...rest, data };
        assert.deepEqual(actual, wanted, `step ${at}, initiator ${one.who}: ${one.command.text}`);
        sent++;
      }
      assert.deepEqual(core.backstore.bytes, model.bytes);
      assert.equal(core.environment.memory.outstanding, 0);
    },
  );
  while (sent < COMMANDS) {
    await fc.assert(property, { numRuns: RUNS_AT_A_TIME, includeErrorInReport: true });
  }
  t.pass();
});
