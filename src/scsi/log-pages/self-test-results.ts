/** Self-Test Results log page (SPC-4 7.3.19): always twenty parameters, the newest first. */
import { putU16, putU64 } from '../bytes.ts';
import type { SelfTestResult } from '../self-test.ts';
import { SELF_TEST_RESULTS } from '../self-test.ts';
import { binaryList, type LogPage } from './log-page.ts';

const LENGTH = 16;
/** TIMESTAMP of tests longer ago than a 16-bit number of hours. */
const LONG_AGO = 0xffff;
const NO_ADDRESS = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

export const selfTestResultsPage: LogPage = {
  code: 0x10,
  subpage: 0,
  name: 'Self-Test Results',
  parameters: ({ selfTest }) =>
    Array.from({ length: SELF_TEST_RESULTS }, (_, i) => binaryList(i + 1, format(selfTest.results[i]))),
};

/** A test that was never run is all zero. */
function format(result: SelfTestResult | undefined): Uint8Array {
  const value = new Uint8Array(LENGTH);
  if (result === undefined) return value;
  value[0] = (result.code << 5) | result.outcome;
  putU16(value, 2, Math.min(result.hours, LONG_AGO));
  if (result.firstFailure === undefined) value.set(NO_ADDRESS, 4);
  else putU64(value, 4, result.firstFailure);
  if (result.sense !== undefined) {
    value[12] = result.sense.key;
    putU16(value, 13, result.sense.code);
  }
  return value;
}
