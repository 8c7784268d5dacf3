/**
 * Random tasks, ends, failures and task management functions from several initiators against a model of the
 * task set that is slow and obviously right.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { type BackstoreOperation, Outcome } from '../../src/scsi/backstore.ts';
import { TaskAttribute } from '../../src/scsi/status-spec.ts';
import { manage, TaskManagementFunction } from '../../src/scsi/task-management.ts';
import { Core } from '../support/core.ts';

const { SIMPLE, ORDERED } = TaskAttribute;

interface Settings {
  readonly tst: number;
  readonly qerr: number;
  readonly queueAlgorithm: number;
  /** Whether the backstore ends operations early when asked. */
  readonly cancels: boolean;
}

type Step =
  | {
      readonly step: 'arrive';
      readonly who: number;
      readonly attribute: TaskAttribute;
      readonly write: boolean;
    }
  | { readonly step: 'end'; readonly which: number; readonly fails: boolean }
  | {
      readonly step: 'manage';
      readonly who: number;
      readonly function: TaskManagementFunction;
      readonly which: number;
    };

/** A task as the model sees it. */
interface ModelTask {
  readonly id: number;
  readonly who: number;
  readonly attribute: TaskAttribute;
  readonly write: boolean;
  started: boolean;
  aborted: boolean;
}

class Model {
  readonly settings: Settings;
  /** In order of processing. */
  list: ModelTask[] = [];

  constructor(settings: Settings) {
    this.settings = settings;
  }

  arrive(task: ModelTask): void {
    if (task.attribute === TaskAttribute.HEAD_OF_QUEUE) this.list.unshift(task);
    else this.list.push(task);
    this.enable();
  }

  end(id: number, fails: boolean): void {
    const task = this.list.find((other) => other.id === id)!;
    this.list = this.list.filter((other) => other !== task);
    const { qerr, tst } = this.settings;
    if (fails && !task.aborted && qerr !== 0) {
      this.abort((other) => other.who === task.who || (qerr === 1 && tst === 0));
    }
    this.enable();
  }

  /** Returns the ids of the tasks that it concerns. */
  abort(concerns: (task: ModelTask) => boolean): number[] {
    const tasks = this.list.filter(concerns);
    for (const task of tasks) task.aborted = true;
    this.list = this.list.filter((task) => !task.aborted || (task.started && !this.settings.cancels));
    this.enable();
    return tasks.map((task) => task.id);
  }

  private enable(): void {
    // Starting a task hinders others only by its being there, so one pass in order is enough.
    for (const [at, task] of this.list.entries()) {
      if (!task.started && !this.list.slice(0, at).some((other) => this.hinders(other, task))) {
        task.started = true;
      }
    }
  }

  private hinders(ahead: ModelTask, task: ModelTask): boolean {
    const { tst, queueAlgorithm } = this.settings;
    const sameNexus = ahead.who === task.who;
    if (task.attribute === TaskAttribute.HEAD_OF_QUEUE) return false;
    if (tst === 0 || sameNexus) {
      if (task.attribute === ORDERED || ahead.attribute !== SIMPLE) return true;
    }
    return queueAlgorithm === 0 && sameNexus && (ahead.write || task.write);
  }
}

/** The task set under test, with the same steps. */
class Real {
  readonly core = new Core();
  readonly initiators: Initiator[];
  arrived = 0;
  readonly ended: number[] = [];
  readonly responses: number[] = [];
  readonly settings: Settings;

  constructor(settings: Settings) {
    this.settings = settings;
    const { backstore, disk } = this.core;
    Object.assign(disk.control, settings);
    backstore.hold = true;
    if (!settings.cancels) backstore.cancel = () => {};
    this.initiators = [this.core.initiator, this.core.connect('naa.2'), this.core.connect('naa.3')];
    for (const initiator of this.initiators) {
      const tell = initiator.taskDone.bind(initiator);
      initiator.taskDone = (task) => {
        this.ended.push(task.tagLow);
        tell(task);
      };
    }
  }

  arrive({ id, who, attribute, write }: ModelTask): void {
    this.initiators[who].start({
      cdb: [write ? 0x2a : 0x28, 0, 0, 0, id >> 8, id & 0xff, 0, 0, 1, 0],
      ...(write ? { dataOut: new Uint8Array(512) } : { dataInLength: 512 }),
      attribute,
      tag: id,
    });
    this.arrived++;
  }

  get held(): BackstoreOperation[] {
    return this.core.backstore.held;
  }

  /** Ends the operation at `which` and returns its task's id. */
  end(which: number, fails: boolean): number {
    const [operation] = this.held.splice(which, 1);
    this.held.unshift(operation);
    const { backstore } = this.core;
    backstore.fault = fails ? { kind: operation.kind, outcome: Outcome.MEDIUM_ERROR } : undefined;
    backstore.releaseHeld(1);
    return operation.offset / 512;
  }

  manage(who: number, func: TaskManagementFunction, tagLow: number, response: number): void {
    const { nexus } = this.initiators[who];
    manage({ function: func, nexus, lun: 0, tagHigh: 0, tagLow }, () => {
      this.responses.push(response);
      // A reset restores the mode pages, and unit attentions would keep commands from the backstore: both are
      // another test's.
      Object.assign(this.core.disk.control, this.settings);
      for (const initiator of this.initiators) initiator.nexus.unit(0)!.unitAttentions.clearAll();
    });
  }
}

const { ABORT_TASK, ABORT_TASK_SET, CLEAR_TASK_SET, LOGICAL_UNIT_RESET, I_T_NEXUS_RESET } =
  TaskManagementFunction;

function concerned(
  { function: func, who }: Extract<Step, { step: 'manage' }>,
  tag: number,
  { tst }: Settings,
): (task: ModelTask) => boolean {
  switch (func) {
    case ABORT_TASK:
      return (task) => task.who === who && task.id === tag;
    case CLEAR_TASK_SET:
      return (task) => task.who === who || tst === 0;
    case LOGICAL_UNIT_RESET:
      return () => true;
    default:
      return (task) => task.who === who;
  }
}

const settings = fc.record({
  tst: fc.constantFrom(0, 1),
  qerr: fc.constantFrom(0, 1, 3),
  queueAlgorithm: fc.constantFrom(0, 1),
  cancels: fc.boolean(),
});
const who = fc.nat(2);
const which = fc.nat(15);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      step: fc.constant('arrive' as const),
      who,
      attribute: fc.constantFrom(SIMPLE, SIMPLE, ORDERED, TaskAttribute.HEAD_OF_QUEUE),
      write: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      step: fc.constant('end' as const),
      which,
      fails: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      step: fc.constant('manage' as const),
      who,
      function: fc.constantFrom(
        ABORT_TASK,
        ABORT_TASK_SET,
        CLEAR_TASK_SET,
        LOGICAL_UNIT_RESET,
        I_T_NEXUS_RESET,
      ),
      which,
    }),
  },
);

test('tasks start, end and abort as in the model', (t) => {
  fc.assert(
    fc.property(settings, fc.array(step, { maxLength: 60, size: 'max' }), (chosen, steps) => {
      const model = new Model(chosen);
      const real = new Real(chosen);
      /** For every function: the tasks that must end before its response. */
      const pending = new Map<number, number[]>();
      for (const [at, action] of steps.entries()) {
        if (action.step === 'arrive') {
          const task = { ...action, id: at, started: false, aborted: false };
          model.arrive(task);
          real.arrive(task);
        } else if (action.step === 'end') {
          if (real.held.length === 0) continue;
          model.end(real.end(action.which % real.held.length, action.fails), action.fails);
        } else {
          const tag = model.list[action.which % Math.max(model.list.length, 1)]?.id ?? 0;
          pending.set(at, model.abort(concerned(action, tag, chosen)));
          real.manage(action.who, action.function, tag, at);
        }
        compare(model, real, pending);
      }
      while (real.held.length > 0) model.end(real.end(0, false), false);
      compare(model, real, pending);
      assert.equal(model.list.length, 0);
      assert.equal(real.ended.length, real.arrived);
    }),
    { numRuns: 500 },
  );
  t.pass();
});

/** What must hold after every step. */
function compare(model: Model, real: Real, pending: ReadonlyMap<number, number[]>): void {
  const live = real.core.disk.taskSet
    .filter(() => true)
    .map(({ tagLow: id, started, aborted }) => ({ id, started, aborted }));
  const expected = model.list.map(({ id, started, aborted }) => ({ id, started, aborted }));
  assert.deepEqual(live, expected);
  const isLive = (id: number) => expected.some((task) => task.id === id);
  const answered = [...pending].filter(([, ids]) => !ids.some(isLive)).map(([id]) => id);
  assert.deepEqual(
    real.responses.toSorted((a, b) => a - b),
    answered,
  );
  assert.equal(new Set(real.ended).size, real.ended.length);
}
