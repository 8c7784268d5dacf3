/** START STOP UNIT (SBC-3 5.25). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import type { CommandRow } from '../command.ts';
import { flushLater } from '../flush-later.ts';
import { conclude, Medium } from '../medium.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { CONTROL } from './usage.ts';

const IMMED = 0x01;
const MODIFIER = 0x0f;
const NO_FLUSH = 0x04;
const LOEJ = 0x02;
const START = 0x01;

/** POWER CONDITION (SBC-3 table 86); 0 leaves START and LOEJ in charge. */
const Power = {
  ACTIVE: 0x1,
  IDLE: 0x2,
  STANDBY: 0x3,
  LU_CONTROL: 0x7,
  FORCE_IDLE_0: 0xa,
  FORCE_STANDBY_0: 0xb,
} as const;

/** By POWER CONDITION MODIFIER. */
const IDLE = [
  Sense.IDLE_CONDITION_ACTIVATED_BY_COMMAND,
  Sense.IDLE_B_CONDITION_ACTIVATED_BY_COMMAND,
  Sense.IDLE_C_CONDITION_ACTIVATED_BY_COMMAND,
];
const STANDBY = [
  Sense.STANDBY_CONDITION_ACTIVATED_BY_COMMAND,
  Sense.STANDBY_Y_CONDITION_ACTIVATED_BY_COMMAND,
];

function startStopUnit(task: Task): void {
  const device = blockDeviceOf(task);
  const { power, removableMedium: medium } = device;
  if (refused(task, device)) return;
  const condition = task.cdb[4] >> 4;
  if (condition !== 0) return setPowerCondition(task, device, condition);
  const flags = task.cdb[4];
  if ((flags & LOEJ) !== 0) return loadOrEject(task, device, (flags & START) !== 0);
  if ((flags & START) !== 0) {
    if (medium?.present !== false) power.start();
    return task.good();
  }
  // What is ejected has been flushed, and no spindle turns.
  if (medium?.present === false) return task.good();
  afterFlush(task, device, () => {
    // A drive for cartridges starts by itself on the next access: it goes no lower than standby.
    if (medium === undefined) power.stop();
    else power.lower(STANDBY[0]);
  });
}

/** A format, a sanitize or its failure is not ended by starting or stopping: then the task ends here. */
function refused(task: Task, device: BlockDevice): boolean {
  const { notReady, power, removableMedium } = device;
  if (notReady === undefined || power.stopped || removableMedium?.present === false) return false;
  const { sense, progress } = notReady;
  task.fail(sense, progress === undefined ? {} : { progress });
  return true;
}

function setPowerCondition(task: Task, device: BlockDevice, condition: number): void {
  const modifier = task.cdb[3] & MODIFIER;
  const { power } = device;
  switch (condition) {
    case Power.ACTIVE:
      if (modifier !== 0) return task.failCdbField(3, 3);
      power.start();
      return task.good();
    case Power.LU_CONTROL:
      if (modifier !== 0) return task.failCdbField(3, 3);
      // All timers are off (Power Condition mode page): handing control to them changes nothing.
      return task.good();
    case Power.IDLE:
    case Power.STANDBY: {
      const sense: SenseCode | undefined = (condition === Power.IDLE ? IDLE : STANDBY)[modifier];
      if (sense === undefined) return task.failCdbField(3, 3);
      return afterFlush(task, device, () => power.lower(sense));
    }
    case Power.FORCE_IDLE_0:
    case Power.FORCE_STANDBY_0: {
      if (modifier !== 0) return task.failCdbField(3, 3);
      const sense = condition === Power.FORCE_IDLE_0 ? IDLE[0] : STANDBY[0];
      return afterFlush(task, device, () => power.lower(sense));
    }
    default:
      // libiscsi's StartStopUnit.PwrCnd wants GOOD for all fifteen values from removable units, as its peers give.
      if (device.removableMedium === undefined) return task.failCdbField(4, 7);
      return task.good();
  }
}

function loadOrEject(task: Task, device: BlockDevice, load: boolean): void {
  const { removableMedium: medium } = device;
  if (medium === undefined) return task.failCdbField(4, 1);
  if (medium.locked) return task.fail(Sense.MEDIUM_REMOVAL_PREVENTED);
  if (load) {
    device.power.start();
    medium.load(task.nexus);
    return task.good();
  }
  if (!medium.present) return task.good();
  afterFlush(task, device, () => medium.eject());
}

/** Flushes unless NO_FLUSH says otherwise, makes the change, and answers: before it all when IMMED is set. */
function afterFlush(task: Task, device: BlockDevice, change: () => void): void {
  const { cdb } = task;
  if ((cdb[4] & NO_FLUSH) !== 0) {
    change();
    return task.good();
  }
  if ((cdb[1] & IMMED) !== 0) {
    // The state changes at once; what was cached follows it to the backing, which stays open.
    change();
    void flushLater(device);
    return task.good();
  }
  void flushThenChange(task, device, change);
}

async function flushThenChange(task: Task, device: BlockDevice, change: () => void): Promise<void> {
  const failure = await new Medium(device, task).flush();
  if (failure !== undefined) return conclude(task, failure);
  // Such as a format that was begun during the flush.
  if (refused(task, device)) return;
  change();
  task.good();
}

export const startStopUnitCommands: readonly CommandRow[] = [
  {
    name: 'START STOP UNIT',
    opcode: 0x1b,
    cdbLength: 6,
    usage: [0x1b, IMMED, 0, MODIFIER, 0xf0 | NO_FLUSH | LOEJ | START, CONTROL],
    direction: 'none',
    reservation: 'write',
    passesReservations: (cdb) => (cdb[4] & (0xf0 | START)) === START,
    alua: 'active',
    unitAttention: 'report',
    needsReady: false,
    writes: false,
    timeout: 60,
    standard: 'SBC-3 5.25',
    handler: startStopUnit,
  },
];
