/** MODE SELECT (6) and (10) (SPC-4 6.11, 6.12). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { Medium, Verdict } from '../medium.ts';
import { HEADER_LENGTH_6, HEADER_LENGTH_10 } from '../mode-pages/mode-parameter-list.ts';
import { type ModeChange, PageControl } from '../mode-pages/mode-parameters.ts';
import { parseModeParameters, TRUNCATED } from '../mode-pages/parse-mode-parameters.ts';
import { Sense } from '../sense-spec.ts';
import { Status } from '../status-spec.ts';
import type { Task } from '../task.ts';
import { NO_MEMORY, runExclusively, runSteps } from './steps.ts';
import { any, CONTROL, reserved } from './usage.ts';

const PF = 0x10;
const RTD = 0x02;
const SP = 0x01;

function modeSelect(task: Task, headerLength: number, listLength: number): void {
  const device = blockDeviceOf(task);
  const { modeParameters } = device;
  const flags = task.cdb[1];
  const save = (flags & SP) !== 0;
  // Without a store nothing survives, whether sent now or before.
  if (save && !modeParameters.savable) return task.failCdbField(1, 0);
  if ((flags & RTD) !== 0) {
    if (listLength !== 0) return task.failCdbField(1, 1);
    return enforce(task, device, modeParameters.defaults(), save);
  }
  if (listLength === 0) return task.good();
  // PF 0 is the vendor-specific format of SCSI-1, of which we have none.
  if ((flags & PF) === 0) return task.failCdbField(1, 4);
  const list = task.parameterList(listLength);
  if (list === undefined) return;
  const parsed = parseModeParameters(device, list, headerLength);
  if ('changes' in parsed) return enforce(task, device, parsed.changes, save);
  if (parsed.error === TRUNCATED) return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  task.failParameterField(parsed.error.byte, parsed.error.bit);
}

/** Puts checked values into force, all or none, and tells the other initiators. */
function enforce(task: Task, device: BlockDevice, changes: readonly ModeChange[], save: boolean): void {
  const { modeParameters } = device;
  const before = changes.map(({ page }) => ({
    page,
    values: modeParameters.values(page, PageControl.CURRENT),
  }));
  const wasCached = device.writeCacheEnabled;
  modeParameters.change(changes);
  const cacheTurnedOff = wasCached && !device.writeCacheEnabled;
  const announce = () => {
    if (differ(before, changes)) device.establishForAll(Sense.MODE_PARAMETERS_CHANGED, task.nexus);
  };
  if (!save && !cacheTurnedOff) {
    announce();
    return task.good();
  }
  // What was written under the cache and is not answered yet must be in the flush: nobody will ask for another.
  const waitForWrites = cacheTurnedOff && device.notReady === undefined;
  if (waitForWrites) task.blocks = device.blockCount;
  const run = waitForWrites ? runExclusively : runSteps;
  run(task, device, NO_MEMORY, async (medium) => {
    const failure = await makeDurable(medium, cacheTurnedOff, save);
    if (failure !== undefined) {
      modeParameters.change(before);
      return failure;
    }
    announce();
    return Status.GOOD;
  });
}

/** What the old cache still holds, since nobody will ask for it again, and the saved values. */
async function makeDurable(medium: Medium, cache: boolean, save: boolean): Promise<Verdict | undefined> {
  const failure = cache ? await medium.flush() : undefined;
  if (failure !== undefined || !save) return failure;
  try {
    await medium.device.modeParameters.save();
    return undefined;
  } catch {
    return { code: Sense.INTERNAL_TARGET_FAILURE };
  }
}

function differ(before: readonly ModeChange[], after: readonly ModeChange[]): boolean {
  return before.some(({ values }, i) => values.some((byte, at) => byte !== after[i].values[at]));
}

const common = {
  direction: 'out',
  reservation: 'write',
  alua: 'standby',
  unitAttention: 'report',
  needsReady: false,
  writes: false,
  timeout: 30,
} as const;

export const modeSelectCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'MODE SELECT(6)',
    opcode: 0x15,
    cdbLength: 6,
    usage: [0x15, PF | RTD | SP, 0, 0, 0xff, CONTROL],
    standard: 'SPC-4 6.11',
    handler: (task) => modeSelect(task, HEADER_LENGTH_6, task.cdb[4]),
  },
  {
    ...common,
    name: 'MODE SELECT(10)',
    opcode: 0x55,
    cdbLength: 10,
    usage: [0x55, PF | RTD | SP, ...reserved(5), ...any(2), CONTROL],
    standard: 'SPC-4 6.12',
    handler: (task) => modeSelect(task, HEADER_LENGTH_10, u16(task.cdb, 7)),
  },
];
