/** The log pages of a direct access block device, in ascending order; the lists of pages are added by LOG SENSE. */
import { cacheMemoryStatisticsPage } from './cache-memory-statistics.ts';
import { errorCounterPages } from './error-counters.ts';
import { generalStatisticsAndPerformancePage } from './general-statistics-and-performance.ts';
import { informationalExceptionsLogPage } from './informational-exceptions.ts';
import type { LogPage } from './log-page.ts';
import { logicalBlockProvisioningLogPage } from './logical-block-provisioning.ts';
import { selfTestResultsPage } from './self-test-results.ts';
import { startStopCycleCounterPage } from './start-stop-cycle-counter.ts';
import { temperaturePage } from './temperature.ts';

export const blockDeviceLogPages: readonly LogPage[] = [
  ...errorCounterPages,
  logicalBlockProvisioningLogPage,
  temperaturePage,
  startStopCycleCounterPage,
  selfTestResultsPage,
  generalStatisticsAndPerformancePage,
  cacheMemoryStatisticsPage,
  informationalExceptionsLogPage,
];
