/**
 * Write, Read and Verify Error Counter log pages (SPC-4 7.3.7, 7.3.17, 7.3.22). The backing corrects what it can
 * without telling us; we know what was processed and what failed for good.
 */
import { Counter } from '../statistics.ts';
import { counter, type LogPage } from './log-page.ts';

const TOTAL_BYTES_PROCESSED = 0x0005;
const TOTAL_UNCORRECTED_ERRORS = 0x0006;

function errorCounterPage(code: number, name: string, bytes: Counter, errors: Counter): LogPage {
  return {
    code,
    subpage: 0,
    name,
    parameters: (_device, counts) => [
      counter(TOTAL_BYTES_PROCESSED, counts[bytes]),
      counter(TOTAL_UNCORRECTED_ERRORS, counts[errors]),
    ],
    clearable: true,
  };
}

export const errorCounterPages: readonly LogPage[] = [
  errorCounterPage(0x02, 'Write Error Counter', Counter.WRITE_BYTES, Counter.WRITE_ERRORS),
  errorCounterPage(0x03, 'Read Error Counter', Counter.READ_BYTES, Counter.READ_ERRORS),
  errorCounterPage(0x05, 'Verify Error Counter', Counter.VERIFY_BYTES, Counter.VERIFY_ERRORS),
];
