/** Temperature log page (SPC-4 7.3.21): a disk without a sensor says so. */
import { binaryList, type LogPage } from './log-page.ts';

const TEMPERATURE = 0x0000;
const NOT_AVAILABLE = 0xff;

export const temperaturePage: LogPage = {
  code: 0x0d,
  subpage: 0,
  name: 'Temperature',
  parameters: () => [binaryList(TEMPERATURE, Uint8Array.of(0, NOT_AVAILABLE))],
};
