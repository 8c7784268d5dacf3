/** The command table of a direct access block device: every family's rows in one set. */
import type { BlockDevice } from './block-device.ts';
import { CommandSet } from './command.ts';
import { compareAndWriteCommands } from './commands/compare-and-write.ts';
import { extendedCopyCommands } from './commands/extended-copy.ts';
import { formatUnitCommands } from './commands/format-unit.ts';
import { getLbaStatusCommands } from './commands/get-lba-status.ts';
import { inquiryCommands } from './commands/inquiry.ts';
import { logSelectCommands } from './commands/log-select.ts';
import { logSenseCommands } from './commands/log-sense.ts';
import { modeSelectCommands } from './commands/mode-select.ts';
import { modeSenseCommands } from './commands/mode-sense.ts';
import { orwriteCommands } from './commands/orwrite.ts';
import { persistentReserveInCommands } from './commands/persistent-reserve-in.ts';
import { persistentReserveOutCommands } from './commands/persistent-reserve-out.ts';
import { preFetchCommands } from './commands/pre-fetch.ts';
import { preventAllowMediumRemovalCommands } from './commands/prevent-allow-medium-removal.ts';
import { readCommands } from './commands/read.ts';
import { readBufferCommands } from './commands/read-buffer.ts';
import { readCapacityCommands } from './commands/read-capacity.ts';
import { readDefectDataCommands } from './commands/read-defect-data.ts';
import { receiveCopyResultsCommands } from './commands/receive-copy-results.ts';
import { receiveCopyStatusCommands } from './commands/receive-copy-status.ts';
import { receiveDiagnosticResultsCommands } from './commands/receive-diagnostic-results.ts';
import { reportIdentifyingInformationCommands } from './commands/report-identifying-information.ts';
import { reportLunsCommands } from './commands/report-luns.ts';
import { reportReferralsCommands } from './commands/report-referrals.ts';
import { reportSupportedOperationCodesCommands } from './commands/report-supported-operation-codes.ts';
import { reportSupportedTaskManagementFunctionsCommands } from './commands/report-supported-task-management-functions.ts';
import { reportTargetPortGroupsCommands } from './commands/report-target-port-groups.ts';
import { reportTimestampCommands } from './commands/report-timestamp.ts';
import { blockDeviceSense, requestSenseCommands } from './commands/request-sense.ts';
import { reserveReleaseCommands } from './commands/reserve-release.ts';
import { rodTokenCommands } from './commands/rod-tokens.ts';
import { sanitizeCommands } from './commands/sanitize.ts';
import { seekCommands } from './commands/seek.ts';
import { sendDiagnosticCommands } from './commands/send-diagnostic.ts';
import { setIdentifyingInformationCommands } from './commands/set-identifying-information.ts';
import { setTargetPortGroupsCommands } from './commands/set-target-port-groups.ts';
import { setTimestampCommands } from './commands/set-timestamp.ts';
import { startStopUnitCommands } from './commands/start-stop-unit.ts';
import { synchronizeCacheCommands } from './commands/synchronize-cache.ts';
import { testUnitReadyCommands } from './commands/test-unit-ready.ts';
import { unmapCommands } from './commands/unmap.ts';
import { verifyCommands } from './commands/verify.ts';
import { writeCommands } from './commands/write.ts';
import { writeAndVerifyCommands } from './commands/write-and-verify.ts';
import { writeAtomicCommands } from './commands/write-atomic.ts';
import { writeBufferCommands } from './commands/write-buffer.ts';
import { writeSameCommands } from './commands/write-same.ts';
import { blockDeviceVpdPages } from './vpd/block-device-pages.ts';

const SBC_3 = 0x04c0;

export const blockDeviceCommands = new CommandSet([
  ...testUnitReadyCommands,
  ...readCommands,
  ...writeCommands,
  ...writeSameCommands,
  ...formatUnitCommands,
  ...sanitizeCommands,
  ...readDefectDataCommands,
  ...seekCommands,
  ...getLbaStatusCommands,
  ...preFetchCommands,
  ...writeAtomicCommands,
  ...writeAndVerifyCommands,
  ...orwriteCommands,
  ...compareAndWriteCommands,
  ...verifyCommands,
  ...unmapCommands,
  ...synchronizeCacheCommands,
  ...readCapacityCommands,
  ...inquiryCommands({
    vpdPages: blockDeviceVpdPages,
    version: SBC_3,
    removable: (unit) => (unit as BlockDevice).removableMedium !== undefined,
    protection: (unit) => (unit as BlockDevice).protection.supported,
  }),
  ...modeSelectCommands,
  ...modeSenseCommands,
  ...logSelectCommands,
  ...logSenseCommands,
  ...requestSenseCommands(blockDeviceSense),
  ...startStopUnitCommands,
  ...preventAllowMediumRemovalCommands,
  ...extendedCopyCommands,
  ...receiveCopyResultsCommands,
  ...rodTokenCommands,
  ...receiveCopyStatusCommands,
  ...reserveReleaseCommands,
  ...persistentReserveInCommands,
  ...persistentReserveOutCommands,
  ...sendDiagnosticCommands,
  ...receiveDiagnosticResultsCommands,
  ...readBufferCommands,
  ...writeBufferCommands,
  ...reportIdentifyingInformationCommands,
  ...setIdentifyingInformationCommands,
  ...reportTimestampCommands,
  ...setTimestampCommands,
  ...reportLunsCommands,
  ...reportSupportedOperationCodesCommands,
  ...reportSupportedTaskManagementFunctionsCommands,
  ...reportReferralsCommands,
  ...reportTargetPortGroupsCommands,
  ...setTargetPortGroupsCommands,
]);
