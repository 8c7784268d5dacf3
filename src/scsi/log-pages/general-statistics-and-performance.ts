/**
 * General Statistics and Performance log page (SPC-4 7.3.8). Commands are not timed one by one, which would cost
 * a clock reading each: the processing intervals stay 0, as the standard provides for "not reported".
 */
import { concatenate, putU64 } from '../bytes.ts';
import { Counter } from '../statistics.ts';
import { binaryList, type LogPage } from './log-page.ts';

const STATISTICS_AND_PERFORMANCE = 0x0001;
const IDLE_TIME = 0x0002;
const TIME_INTERVAL = 0x0003;
/** What one interval would be: 1 times ten to the power of -3 seconds. */
const MILLISECOND = Uint8Array.of(0, 0, 0, 3, 0, 0, 0, 1);

export const generalStatisticsAndPerformancePage: LogPage = {
  code: 0x19,
  subpage: 0,
  name: 'General Statistics and Performance',
  parameters: ({ blockSize }, counts) => {
    const fields = [
      counts[Counter.READ_COMMANDS],
      counts[Counter.WRITE_COMMANDS],
      Math.floor(counts[Counter.WRITE_BYTES] / blockSize),
      Math.floor(counts[Counter.READ_BYTES] / blockSize),
      0,
      0,
      0,
      0,
    ];
    return [
      binaryList(STATISTICS_AND_PERFORMANCE, concatenate(fields.map(field64))),
      binaryList(IDLE_TIME, field64(0)),
      binaryList(TIME_INTERVAL, MILLISECOND),
    ];
  },
  clearable: true,
};

function field64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  putU64(bytes, 0, value);
  return bytes;
}
