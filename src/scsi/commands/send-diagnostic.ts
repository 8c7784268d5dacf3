/** SEND DIAGNOSTIC (SPC-4 6.42): self-tests, and the request for the list of diagnostic pages. */
import { blockDeviceOf } from '../block-device-of.ts';
import { u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import { chunkBytes, type Verdict } from '../medium.ts';
import type { SelfTest } from '../self-test.ts';
import { Sense } from '../sense-spec.ts';
import type { Task } from '../task.ts';
import { SUPPORTED_DIAGNOSTIC_PAGES } from './receive-diagnostic-results.ts';
import { runSteps } from './steps.ts';
import { any, CONTROL } from './usage.ts';

const SELF_TEST_CODE = 0xe0;
const PF = 0x10;
const SELFTEST = 0x04;
/** DEVOFFL and UNITOFFL only allow more than our tests do. */
const OFFLINE = 0x03;

/** SELF-TEST CODE (SPC-4 table 258). */
const SelfTestCode = {
  NONE: 0,
  BACKGROUND_SHORT: 1,
  BACKGROUND_EXTENDED: 2,
  ABORT_BACKGROUND: 4,
  FOREGROUND_SHORT: 5,
  FOREGROUND_EXTENDED: 6,
} as const;

const PAGE_HEADER = 4;

function sendDiagnostic(task: Task): void {
  const { cdb } = task;
  const code = cdb[1] >> 5;
  const listLength = u16(cdb, 3);
  if ((cdb[1] & SELFTEST) !== 0) {
    if (code !== SelfTestCode.NONE) return task.failCdbField(1, 7);
    if (listLength !== 0) return task.failCdbField(3);
    return foreground(task, (selfTest) => selfTest.standard(task));
  }
  if (code !== SelfTestCode.NONE) {
    if (listLength !== 0) return task.failCdbField(3);
    return selfTest(task, code);
  }
  if (listLength === 0) return task.good();
  if ((cdb[1] & PF) === 0) return task.failCdbField(1, 4);
  diagnosticPage(task, listLength);
}

function selfTest(task: Task, code: number): void {
  const { selfTest } = blockDeviceOf(task);
  switch (code) {
    case SelfTestCode.BACKGROUND_SHORT:
    case SelfTestCode.BACKGROUND_EXTENDED:
      if (selfTest.inBackground) return task.fail(Sense.SELF_TEST_IN_PROGRESS);
      selfTest.background(code, code === SelfTestCode.BACKGROUND_EXTENDED);
      return task.good();
    case SelfTestCode.ABORT_BACKGROUND:
      if (!selfTest.inBackground) return task.failCdbField(1, 7);
      selfTest.stopBackground();
      return task.good();
    case SelfTestCode.FOREGROUND_SHORT:
    case SelfTestCode.FOREGROUND_EXTENDED:
      return foreground(task, (test) =>
        test.foreground(code, code === SelfTestCode.FOREGROUND_EXTENDED, task),
      );
    default:
      return task.failCdbField(1, 7);
  }
}

function foreground(task: Task, run: (selfTest: SelfTest) => Promise<Verdict>): void {
  const device = blockDeviceOf(task);
  if (device.selfTest.inBackground) return task.fail(Sense.SELF_TEST_IN_PROGRESS);
  runSteps(task, device, chunkBytes(device, device.blockCount), () => run(device.selfTest));
}

/** Only the list of pages can be asked for: it has no parameters, and RECEIVE DIAGNOSTIC RESULTS returns it. */
function diagnosticPage(task: Task, listLength: number): void {
  if (listLength < PAGE_HEADER) return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  const list = task.parameterList(listLength);
  if (list === undefined) return;
  if (list[0] !== SUPPORTED_DIAGNOSTIC_PAGES) return task.failParameterField(0);
  if (u16(list, 2) !== 0) return task.failParameterField(2);
  if (list.length > PAGE_HEADER) return task.fail(Sense.PARAMETER_LIST_LENGTH_ERROR);
  task.good();
}

export const sendDiagnosticCommands: readonly CommandRow[] = [
  {
    name: 'SEND DIAGNOSTIC',
    opcode: 0x1d,
    cdbLength: 6,
    usage: [0x1d, SELF_TEST_CODE | PF | SELFTEST | OFFLINE, 0, ...any(2), CONTROL],
    direction: 'out',
    reservation: 'write',
    alua: 'standby',
    unitAttention: 'report',
    needsReady: true,
    writes: false,
    // An extended self-test in the foreground reads the whole medium.
    timeout: 7200,
    standard: 'SPC-4 6.42',
    handler: sendDiagnostic,
  },
];
