/** REQUEST SENSE (SPC-4 6.39): what the unit has to say, as data; the command itself always ends with GOOD. */
import type { BlockDevice } from '../block-device.ts';
import type { CommandRow } from '../command.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import { buildSense, type SenseDetail } from '../sense.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { MAX_SENSE_LENGTH, type Task } from '../task.ts';
import { CONTROL } from './usage.ts';

const DESC = 0x01;

interface PendingSense {
  readonly code: SenseCode;
  readonly detail: SenseDetail;
}

/** What to report when no unit attention is pending. */
export type SenseSource = (unit: LogicalUnit) => PendingSense | undefined;

/** A block device tells why it is not ready, with progress, or its power condition (SPC-4 5.13.8). */
export const blockDeviceSense: SenseSource = (unit) => {
  const { notReady, power } = unit as BlockDevice;
  if (notReady !== undefined) {
    const { sense, progress } = notReady;
    return { code: sense, detail: progress === undefined ? {} : { progress } };
  }
  return { code: power.sense, detail: {} };
};

function requestSense(task: Task, source: SenseSource): void {
  const { cdb } = task;
  const attention = task.itl!.unitAttentions.take();
  const pending = attention === undefined ? source(task.logicalUnit) : { code: attention, detail: {} };
  const { code, detail } = pending ?? { code: Sense.NO_ADDITIONAL_SENSE, detail: {} };
  const data = new Uint8Array(MAX_SENSE_LENGTH);
  const length = buildSense(data, code, detail, (cdb[1] & DESC) !== 0);
  task.respond(data, cdb[4], length);
}

export function requestSenseCommands(source: SenseSource): readonly CommandRow[] {
  return [
    {
      name: 'REQUEST SENSE',
      opcode: 0x03,
      cdbLength: 6,
      usage: [0x03, DESC, 0, 0, 0xff, CONTROL],
      direction: 'in',
      reservation: 'allowed',
      alua: 'any',
      unitAttention: 'keep',
      headOfQueue: true,
      needsReady: false,
      writes: false,
      timeout: 10,
      standard: 'SPC-4 6.39',
      handler: (task) => requestSense(task, source),
    },
  ];
}
