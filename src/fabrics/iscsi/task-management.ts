/** Task Management Function Request and Response (RFC 7143 11.5, 11.6). */
import { decodeLun } from '../../scsi/lun-field.ts';
import { ServiceResponse } from '../../scsi/status-spec.ts';
import { manage, resetTarget, TaskManagementFunction } from '../../scsi/task-management.ts';
import type { Connection } from './connection.ts';
import { sessionOf } from './full-feature.ts';
import { Bhs, serialLess, TargetOpcode, TaskFunction, TaskResponse } from './iscsi-spec.ts';
import { header } from './pdu-builder.ts';
import type { Pdu } from './pdu-reader.ts';
import type { Session } from './session.ts';

/** iSCSI's function numbers that are the core's under another number. */
const FUNCTIONS: Readonly<Record<number, TaskManagementFunction>> = {
  [TaskFunction.ABORT_TASK]: TaskManagementFunction.ABORT_TASK,
  [TaskFunction.ABORT_TASK_SET]: TaskManagementFunction.ABORT_TASK_SET,
  [TaskFunction.CLEAR_ACA]: TaskManagementFunction.CLEAR_ACA,
  [TaskFunction.CLEAR_TASK_SET]: TaskManagementFunction.CLEAR_TASK_SET,
  [TaskFunction.LOGICAL_UNIT_RESET]: TaskManagementFunction.LOGICAL_UNIT_RESET,
  [TaskFunction.QUERY_TASK]: TaskManagementFunction.QUERY_TASK,
  [TaskFunction.QUERY_TASK_SET]: TaskManagementFunction.QUERY_TASK_SET,
  [TaskFunction.I_T_NEXUS_RESET]: TaskManagementFunction.I_T_NEXUS_RESET,
  [TaskFunction.QUERY_ASYNC_EVENT]: TaskManagementFunction.QUERY_ASYNCHRONOUS_EVENT,
};

const RESPONSES: Readonly<Record<ServiceResponse, number>> = {
  [ServiceResponse.FUNCTION_COMPLETE]: TaskResponse.COMPLETE,
  [ServiceResponse.FUNCTION_SUCCEEDED]: TaskResponse.FUNCTION_SUCCEEDED,
  [ServiceResponse.FUNCTION_REJECTED]: TaskResponse.REJECTED,
  [ServiceResponse.INCORRECT_LOGICAL_UNIT_NUMBER]: TaskResponse.LUN_DOES_NOT_EXIST,
  [ServiceResponse.SERVICE_DELIVERY_OR_TARGET_FAILURE]: TaskResponse.REJECTED,
};

export function taskManagement(connection: Connection, pdu: Pdu): void {
  const session = sessionOf(connection);
  const bhs = Buffer.from(pdu.header);
  const code = bhs[Bhs.FLAGS] & 0x7f;
  const lun = decodeLun(bhs, Bhs.LUN);
  const tag = bhs.readUInt32BE(Bhs.REFERENCED_TAG);
  const respond = (response: number) => {
    const answer = header(TargetOpcode.TASK_MANAGEMENT_RESPONSE, bhs.readUInt32BE(Bhs.TASK_TAG));
    answer[2] = response;
    connection.send(answer, undefined, { status: true });
  };
  if (code === TaskFunction.TASK_REASSIGN) return respond(TaskResponse.REASSIGNMENT_NOT_SUPPORTED);
  if (code === TaskFunction.TARGET_WARM_RESET || code === TaskFunction.TARGET_COLD_RESET) {
    abandonTransfers(session, undefined);
    return resetTarget(session.nexus, () => {
      respond(TaskResponse.COMPLETE);
      // A cold reset is as good as power on: every session of the target ends (RFC 7143 11.5.1).
      if (code === TaskFunction.TARGET_COLD_RESET)
        connection.portal.dropSessions(session.target, 'target cold reset');
    });
  }
  const managed = FUNCTIONS[code];
  if (managed === undefined) return respond(TaskResponse.FUNCTION_NOT_SUPPORTED);
  if (code === TaskFunction.ABORT_TASK) {
    const command = session.commands.get(tag);
    if (command === undefined) return respond(absentTask(session, bhs));
    if (command.fields.lun !== lun) return respond(TaskResponse.TASK_DOES_NOT_EXIST);
    if (command.abandonTransfer()) return respond(TaskResponse.COMPLETE);
  } else if (code !== TaskFunction.QUERY_TASK && code !== TaskFunction.QUERY_TASK_SET) {
    abandonTransfers(session, code === TaskFunction.I_T_NEXUS_RESET ? undefined : lun);
  }
  manage({ function: managed, nexus: session.nexus, lun, tagHigh: 0, tagLow: tag }, (response) =>
    respond(RESPONSES[response]),
  );
}

/** Commands still collecting their data never reached the core: they end here. */
function abandonTransfers(session: Session, lun: number | undefined): void {
  for (const command of [...session.commands.values()]) {
    if (lun === undefined || command.fields.lun === lun) command.abandonTransfer();
  }
}

/**
 * The task is not here: it has ended, or its command was lost. RefCmdSN within what was delivered already means
 * that it has ended (RFC 7143 11.6.1).
 */
function absentTask(session: Session, bhs: Buffer): number {
  const refCmdSn = bhs.readUInt32BE(32);
  const delivered = serialLess(refCmdSn, session.expCmdSn);
  return delivered ? TaskResponse.TASK_DOES_NOT_EXIST : TaskResponse.COMPLETE;
}
