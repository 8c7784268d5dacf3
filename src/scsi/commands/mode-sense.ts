/** MODE SENSE (6) and (10) (SPC-4 6.13, 6.14). */
import type { BlockDevice } from '../block-device.ts';
import { blockDeviceOf } from '../block-device-of.ts';
import { acceptsDpoFua } from '../block-limits.ts';
import { concatenate, u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { PAGE_CODE, PS } from '../mode-pages/mode-page.ts';
import {
  blockDescriptor,
  HEADER_LENGTH_6,
  HEADER_LENGTH_10,
  LONG_DESCRIPTOR_LENGTH,
  type ModeParameterHeader,
  putHeader6,
  putHeader10,
  SHORT_DESCRIPTOR_LENGTH,
} from '../mode-pages/mode-parameter-list.ts';
import { PageControl } from '../mode-pages/mode-parameters.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { any, CONTROL, reserved } from './usage.ts';

const LLBAA = 0x10;
const DBD = 0x08;
const WP = 0x80;
const DPOFUA = 0x10;
/** MODE DATA LENGTH of MODE SENSE(6) is one byte. */
const LONGEST_LIST_6 = 256;

/** The list behind the header, or undefined when the task has failed. */
function pages(task: Task, device: BlockDevice): Uint8Array | undefined {
  const { cdb } = task;
  const { modeParameters } = device;
  const control = (cdb[2] >> 6) as PageControl;
  if (control === PageControl.SAVED && !modeParameters.savable) {
    task.fail(Sense.SAVING_PARAMETERS_NOT_SUPPORTED);
    return undefined;
  }
  const matching = modeParameters.matching(cdb[2] & PAGE_CODE, cdb[3]);
  if (matching.length === 0) {
    // A known page without that subpage: the subpage code is the field in error.
    const knownPage = modeParameters.matching(cdb[2] & PAGE_CODE, 0xff).length > 0;
    if (knownPage) task.failCdbField(3);
    else task.failCdbField(2, 5);
    return undefined;
  }
  return concatenate(
    matching.map((page) => {
      const values = modeParameters.values(page, control);
      if (modeParameters.savable && page.changeable !== undefined) values[0] |= PS;
      return values;
    }),
  );
}

/** Byte 2 or 3 of the header (SBC-3 6.4.1). */
function deviceSpecific(task: Task, device: BlockDevice): number {
  const writeProtected = device.writeProtected || task.itl!.writeProtected;
  return (writeProtected ? WP : 0) | (acceptsDpoFua(device) ? DPOFUA : 0);
}

interface Format {
  readonly headerLength: number;
  readonly descriptorLength: number;
  readonly longestList: number;
  readonly allocationLength: number;
  readonly putHeader: (list: Uint8Array, header: ModeParameterHeader) => void;
}

function modeSense(task: Task, format: Format): void {
  const device = blockDeviceOf(task);
  const descriptorLength = (task.cdb[1] & DBD) !== 0 ? 0 : format.descriptorLength;
  const body = pages(task, device);
  if (body === undefined) return;
  const list = concatenate([
    new Uint8Array(format.headerLength),
    blockDescriptor(device, descriptorLength),
    body,
  ]);
  if (list.length > format.longestList) return task.failCdbField(2, 5);
  format.putHeader(list, {
    listLength: list.length,
    deviceSpecific: deviceSpecific(task, device),
    descriptorLength,
  });
  task.respond(list, format.allocationLength);
}

const common = {
  direction: 'in',
  reservation: 'read',
  alua: 'standby',
  unitAttention: 'report',
  needsReady: false,
  writes: false,
  timeout: 10,
} as const;

export const modeSenseCommands: readonly CommandRow[] = [
  {
    ...common,
    name: 'MODE SENSE(6)',
    opcode: 0x1a,
    cdbLength: 6,
    usage: [0x1a, DBD, ...any(3), CONTROL],
    standard: 'SPC-4 6.13',
    handler: (task) =>
      modeSense(task, {
        headerLength: HEADER_LENGTH_6,
        descriptorLength: SHORT_DESCRIPTOR_LENGTH,
        longestList: LONGEST_LIST_6,
        allocationLength: task.cdb[4],
        putHeader: putHeader6,
      }),
  },
  {
    ...common,
    name: 'MODE SENSE(10)',
    opcode: 0x5a,
    cdbLength: 10,
    usage: [0x5a, LLBAA | DBD, ...any(2), ...reserved(3), ...any(2), CONTROL],
    standard: 'SPC-4 6.14',
    handler: (task) =>
      modeSense(task, {
        headerLength: HEADER_LENGTH_10,
        descriptorLength: (task.cdb[1] & LLBAA) !== 0 ? LONG_DESCRIPTOR_LENGTH : SHORT_DESCRIPTOR_LENGTH,
        longestList: 0xffff,
        allocationLength: u16(task.cdb, 7),
        putHeader: putHeader10,
      }),
  },
];
