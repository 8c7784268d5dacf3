/** ACA conditions among all else that can happen to tasks: none is lost, none ends twice, whatever the order. */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import { OperationKind, Outcome } from '../../src/scsi/backstore.ts';
import { TaskAttribute } from '../../src/scsi/status-spec.ts';
import { manage, TaskManagementFunction } from '../../src/scsi/task-management.ts';
import { Core } from '../support/core.ts';

const NACA = 0x04;
const { ABORT_TASK_SET, CLEAR_TASK_SET, CLEAR_ACA, LOGICAL_UNIT_RESET, I_T_NEXUS_RESET } =
  TaskManagementFunction;

const who = fc.nat(1);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('arrive' as const),
      who,
      attribute: fc.constantFrom(...Object.values(TaskAttribute)),
      control: fc.constantFrom(0, NACA),
    }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('end' as const), fails: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('manage' as const),
      who,
      function: fc.constantFrom(
        CLEAR_ACA,
        CLEAR_ACA,
        CLEAR_ACA,
        ABORT_TASK_SET,
        CLEAR_TASK_SET,
        LOGICAL_UNIT_RESET,
        I_T_NEXUS_RESET,
      ),
    }),
  },
);
const settings = fc.record({
  tst: fc.constantFrom(0, 1),
  qerr: fc.constantFrom(0, 1, 3),
  queueAlgorithm: fc.constantFrom(0, 1),
});

test('every task ends exactly once, and every function is answered', (t) => {
  const property = fc.property(settings, fc.array(step, { maxLength: 60, size: 'max' }), (control, steps) => {
    const core = new Core();
    const { disk, backstore } = core;
    const initiators = [core.initiator, core.connect('naa.5000000000000002')];
    backstore.hold = true;
    Object.assign(disk.control, control);
    let missing = 0;
    for (const initiator of initiators) {
      // It throws when a task ends for the second time.
      const tell = initiator.taskDone.bind(initiator);
      initiator.taskDone = (task) => {
        tell(task);
        missing--;
      };
    }
    const perform = (one: number, func: TaskManagementFunction) => {
      missing++;
      const { nexus } = initiators[one];
      manage({ function: func, nexus, lun: 0, tagHigh: 0, tagLow: 0 }, () => {
        missing--;
        Object.assign(disk.control, control);
      });
      for (const initiator of initiators) initiator.nexus.unit(0)!.unitAttentions.clearAll();
    };
    for (const one of steps) {
      if (one.kind === 'arrive') {
        missing++;
        const cdb = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, one.control];
        initiators[one.who].start({ cdb, dataInLength: 512, attribute: one.attribute });
      } else if (one.kind === 'end') {
        backstore.fault = one.fails ? { kind: OperationKind.READ, outcome: Outcome.MEDIUM_ERROR } : undefined;
        backstore.releaseHeld(1);
        backstore.fault = undefined;
      } else {
        perform(one.who, one.function);
      }
    }
    // Each round ends at least one task, or clears a condition.
    for (let rounds = 2 * steps.length; rounds > 0 && missing > 0; rounds--) {
      backstore.releaseHeld();
      for (const one of initiators.keys()) perform(one, CLEAR_ACA);
    }
    assert.equal(missing, 0);
    assert.equal(disk.taskSet.count, 0);
  });
  fc.assert(property, { numRuns: 500, includeErrorInReport: true });
  t.pass();
});
