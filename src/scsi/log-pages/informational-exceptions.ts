/** Informational Exceptions log page (SPC-4 7.3.10): no failure is predicted, and there is no temperature. */
import { binaryList, type LogPage } from './log-page.ts';

const GENERAL = 0x0000;
const TEMPERATURE_NOT_AVAILABLE = 0xff;

export const informationalExceptionsLogPage: LogPage = {
  code: 0x2f,
  subpage: 0,
  name: 'Informational Exceptions',
  // Additional sense code and qualifier 00/00: no exception condition.
  parameters: () => [binaryList(GENERAL, Uint8Array.of(0, 0, TEMPERATURE_NOT_AVAILABLE, 0))],
};
