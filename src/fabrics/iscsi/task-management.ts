/** Task Management Function Request and Response (RFC 7143 11.5, 11.6). */
import { decodeLun } from '../../scsi/lun-field.ts';
import { ServiceResponse } from '../../scsi/status-spec.ts';
import { manage, resetTarget, TaskManagementFunction } from '../../scsi/task-management.ts';
import type { Connection } from './connection.ts';
import {
  Bhs,
  InitiatorOpcode,
  OPCODE_MASK,
  RejectReason,
  serialLess,
  TargetOpcode,
  TaskFunction,
  TaskResponse,
} from './iscsi-spec.ts';
import type { Pdu } from './pdu.ts';
import { header } from './pdu-builder.ts';
import { rejectPdu } from './reject.ts';
import { sessionOf } from './scsi-command.ts';
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

/** Functions that end tasks of this session: of one logical unit, or of all. */
const ABORTING: Readonly<Record<number, 'unit' | 'all'>> = {
  [TaskFunction.ABORT_TASK_SET]: 'unit',
  [TaskFunction.CLEAR_TASK_SET]: 'unit',
  [TaskFunction.LOGICAL_UNIT_RESET]: 'unit',
  [TaskFunction.TARGET_WARM_RESET]: 'all',
  [TaskFunction.TARGET_COLD_RESET]: 'all',
  [TaskFunction.I_T_NEXUS_RESET]: 'all',
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
  const bhs = pdu.header;
  if (!session.takesFunctions) return rejectPdu(connection, RejectReason.IMMEDIATE_COMMAND_REJECT, bhs);
  const code = bhs[Bhs.FLAGS] & 0x7f;
  const lun = decodeLun(bhs, Bhs.LUN);
  const taskTag = bhs.readInt32BE(Bhs.TASK_TAG);
  const tagLow = bhs.readInt32BE(Bhs.REFERENCED_TAG);
  session.functions++;
  const respond = (response: number) => {
    session.functions--;
    const answer = header(TargetOpcode.TASK_MANAGEMENT_RESPONSE, taskTag);
    answer[2] = response;
    connection.send(answer, true);
  };
  if (code === TaskFunction.TASK_REASSIGN) return respond(TaskResponse.REASSIGNMENT_NOT_SUPPORTED);
  if (code === TaskFunction.TARGET_COLD_RESET && !session.target.mayReset(session.initiatorName))
    return respond(TaskResponse.AUTHORIZATION_FAILED);
  const scope = ABORTING[code];
  if (scope !== undefined)
    dropCollecting(session, bhs.readInt32BE(Bhs.CMD_SN), scope === 'unit' ? lun : undefined);
  if (code === TaskFunction.TARGET_WARM_RESET || code === TaskFunction.TARGET_COLD_RESET) {
    return resetTarget(session.nexus, () => {
      respond(TaskResponse.COMPLETE);
      // A cold reset is as good as power on: every session of the target ends (RFC 7143 11.5.1).
      if (code === TaskFunction.TARGET_COLD_RESET)
        connection.portal.node.dropSessions(session.target.name, 'target cold reset');
    });
  }
  const managed = FUNCTIONS[code];
  if (managed === undefined) return respond(TaskResponse.FUNCTION_NOT_SUPPORTED);
  if (code === TaskFunction.ABORT_TASK) {
    const command = session.commands.get(tagLow);
    if (command === undefined) return respond(abortAbsent(session, bhs));
    if (command.task.lun !== lun) return respond(TaskResponse.TASK_DOES_NOT_EXIST);
    if (command.abandonTransfer()) return respond(TaskResponse.COMPLETE);
  }
  manage({ function: managed, nexus: session.nexus, lun, tagHigh: 0, tagLow }, (response) =>
    respond(RESPONSES[response]),
  );
}

/** Commands still collecting their data, or waiting for an earlier CmdSN, never reached the core: they end here. */
function dropCollecting(session: Session, cmdSn: number, lun: number | undefined): void {
  for (const command of session.commands.all()) {
    if (lun === undefined || command.task.lun === lun) command.abandonTransfer();
  }
  session.window.plugEarly(({ header: early }) => {
    if ((early[Bhs.OPCODE] & OPCODE_MASK) !== InitiatorOpcode.SCSI_COMMAND) return false;
    if (!serialLess(early.readInt32BE(Bhs.CMD_SN), cmdSn)) return false;
    return lun === undefined || decodeLun(early, Bhs.LUN) === lun;
  });
}

/**
 * ABORT TASK of a task that is not here: it has ended, or its command was lost or waits for its turn. The latter is
 * as good as aborted when its CmdSN counts as received from now on (RFC 7143 11.6.1).
 */
function abortAbsent(session: Session, bhs: Buffer): number {
  const refCmdSn = bhs.readInt32BE(Bhs.REFERENCED_CMD_SN);
  const awaited = serialLess(refCmdSn, bhs.readInt32BE(Bhs.CMD_SN)) && session.window.plug(refCmdSn);
  return awaited ? TaskResponse.COMPLETE : TaskResponse.TASK_DOES_NOT_EXIST;
}
