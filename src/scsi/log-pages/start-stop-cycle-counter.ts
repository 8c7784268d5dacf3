/** Start-Stop Cycle Counter log page (SPC-4 7.3.20). */
import { putU32 } from '../bytes.ts';
import { Counter } from '../statistics.ts';
import { binaryList, type LogPage } from './log-page.ts';

const ACCUMULATED_START_STOP_CYCLES = 0x0004;
const ACCUMULATED_LOAD_UNLOAD_CYCLES = 0x0006;

function cycles(code: number, count: number) {
  const value = new Uint8Array(4);
  putU32(value, 0, Math.min(count, 0xffff_ffff));
  return binaryList(code, value);
}

export const startStopCycleCounterPage: LogPage = {
  code: 0x0e,
  subpage: 0,
  name: 'Start-Stop Cycle Counter',
  parameters: (_device, counts) => [
    cycles(ACCUMULATED_START_STOP_CYCLES, counts[Counter.START_STOP_CYCLES]),
    cycles(ACCUMULATED_LOAD_UNLOAD_CYCLES, counts[Counter.LOAD_CYCLES]),
  ],
};
