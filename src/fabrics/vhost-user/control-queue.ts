/**
 * The control queue (virtio 1.2, 5.6.6.2): task management and asynchronous notification. Rare, so plain code;
 * but no chain is ever left unanswered.
 */

import { SegmentList } from '../../scsi/segment-list.ts';
import { ServiceResponse } from '../../scsi/status-spec.ts';
import { manage, TaskManagementFunction } from '../../scsi/task-management.ts';
import { Cut, cutReadable, cutWritable } from './buffers.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { Staging } from './guest-views.ts';
import { lunOf } from './lun-field.ts';
import type { ScsiDevice } from './scsi-device.ts';
import {
  CONTROL_TYPE_BYTES,
  ControlType,
  NotificationRequest,
  NotificationResponse,
  TASK_MANAGEMENT_RESPONSE_BYTES,
  TaskManagementRequest,
  TaskManagementSubtype,
  VirtioScsiResponse,
} from './virtio-scsi-spec.ts';
import type { Vring } from './vring.ts';
import type { VringHandler } from './vring-handler.ts';

const FUNCTIONS: Readonly<Record<number, TaskManagementFunction>> = {
  [TaskManagementSubtype.ABORT_TASK]: TaskManagementFunction.ABORT_TASK,
  [TaskManagementSubtype.ABORT_TASK_SET]: TaskManagementFunction.ABORT_TASK_SET,
  [TaskManagementSubtype.CLEAR_ACA]: TaskManagementFunction.CLEAR_ACA,
  [TaskManagementSubtype.CLEAR_TASK_SET]: TaskManagementFunction.CLEAR_TASK_SET,
  [TaskManagementSubtype.I_T_NEXUS_RESET]: TaskManagementFunction.I_T_NEXUS_RESET,
  [TaskManagementSubtype.LOGICAL_UNIT_RESET]: TaskManagementFunction.LOGICAL_UNIT_RESET,
  [TaskManagementSubtype.QUERY_TASK]: TaskManagementFunction.QUERY_TASK,
  [TaskManagementSubtype.QUERY_TASK_SET]: TaskManagementFunction.QUERY_TASK_SET,
};

const RESETS: ReadonlySet<number> = new Set([
  TaskManagementFunction.I_T_NEXUS_RESET,
  TaskManagementFunction.LOGICAL_UNIT_RESET,
]);

/**
 * How long a function may wait for the tasks that it ends, milliseconds. A guest's whole host adapter stands still
 * while one is under way (Linux), and drivers give it no time limit: one disk that hangs in a system call would take
 * all others with it. A function that failed leaves its tasks with the driver as running, which they are.
 */
const PATIENCE = 10_000;
/** Functions at a time that failed and still wait: a driver that asks for more is told so at once. */
const MOST_LATE = 64;

const RESPONSES: Readonly<Record<ServiceResponse, VirtioScsiResponse>> = {
  [ServiceResponse.FUNCTION_COMPLETE]: VirtioScsiResponse.OK,
  [ServiceResponse.FUNCTION_SUCCEEDED]: VirtioScsiResponse.FUNCTION_SUCCEEDED,
  [ServiceResponse.FUNCTION_REJECTED]: VirtioScsiResponse.FUNCTION_REJECTED,
  [ServiceResponse.INCORRECT_LOGICAL_UNIT_NUMBER]: VirtioScsiResponse.INCORRECT_LUN,
  [ServiceResponse.SERVICE_DELIVERY_OR_TARGET_FAILURE]: VirtioScsiResponse.TRANSPORT_FAILURE,
};

/** One control request: its chain's head, its bytes, and where the answer goes. */
interface ControlRequest {
  readonly vring: Vring;
  readonly head: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly answer: SegmentList;
}

export class ControlQueue implements VringHandler {
  readonly urgent = true;
  private readonly device: ScsiDevice;
  /** Functions that failed, and wait for their tasks all the same. */
  private late = 0;

  constructor(device: ScsiDevice) {
    this.device = device;
  }

  accept(vring: Vring, chain: DescriptorChain): void {
    const { space, views, counters } = this.device;
    const header = new SegmentList();
    const answer = new SegmentList();
    const unused = new SegmentList();
    // Longer requests exist in no type; a shorter one is refused by its type.
    const length = Math.min(readableBytes(chain), TaskManagementRequest.LENGTH);
    const readable = cutReadable(chain, length, space, header, unused);
    const writable = cutWritable(chain, TASK_MANAGEMENT_RESPONSE_BYTES, space, answer, answer);
    if (readable === Cut.NO_HEADER || writable !== Cut.WHOLE) {
      counters.unanswerable++;
      vring.push(chain.head, 0);
      return;
    }
    const staging = new Staging(TaskManagementRequest.LENGTH);
    views.copyOut(header, staging);
    const bytes = staging.bytes.subarray(0, length);
    const view = new DataView(bytes.buffer, 0, length);
    this.dispatch({ vring, head: chain.head, bytes, view, answer });
  }

  private dispatch(request: ControlRequest): void {
    const { bytes, view } = request;
    const type =
      bytes.length >= CONTROL_TYPE_BYTES ? view.getUint32(TaskManagementRequest.TYPE, true) : undefined;
    if (type === ControlType.TASK_MANAGEMENT && bytes.length >= TaskManagementRequest.LENGTH) {
      this.manageTasks(request);
    } else if (
      (type === ControlType.AN_QUERY || type === ControlType.AN_SUBSCRIBE) &&
      bytes.length >= NotificationRequest.LENGTH
    ) {
      this.notification(request);
    } else {
      this.respond(request, VirtioScsiResponse.FUNCTION_REJECTED);
    }
  }

  private manageTasks(request: ControlRequest): void {
    const { device } = this;
    const { bytes, view } = request;
    const nexus = device.nexusAt(bytes, TaskManagementRequest.LUN);
    if (nexus === undefined) {
      this.respond(request, VirtioScsiResponse.BAD_TARGET);
      return;
    }
    const functionCode = FUNCTIONS[view.getUint32(TaskManagementRequest.SUBTYPE, true)];
    if (functionCode === undefined) {
      this.respond(request, VirtioScsiResponse.FUNCTION_REJECTED);
      return;
    }
    if (this.late === MOST_LATE) {
      this.respond(request, VirtioScsiResponse.FAILURE);
      return;
    }
    // What the driver sent before this request is to be known, or an abort would miss it and the command would
    // run after the driver was told that it does not.
    device.takeRequests();
    const isReset = RESETS.has(functionCode);
    if (isReset) device.resetsUnderWay++;
    let isLate = false;
    const impatience = device.environment.after(PATIENCE, () => {
      isLate = true;
      this.late++;
      this.respond(request, VirtioScsiResponse.FAILURE);
    });
    manage(
      {
        function: functionCode,
        nexus,
        lun: lunOf(bytes, TaskManagementRequest.LUN),
        tagLow: view.getUint32(TaskManagementRequest.ID, true),
        tagHigh: view.getUint32(TaskManagementRequest.ID + 4, true),
      },
      (response) => {
        if (isReset) device.resetsUnderWay--;
        impatience.cancel();
        if (isLate) this.late--;
        else this.respond(request, RESPONSES[response]);
      },
    );
  }

  /** No logical unit of ours has events for asynchronous notification, which are those of MMC's media. */
  private notification(request: ControlRequest): void {
    const known = this.device.nexusAt(request.bytes, NotificationRequest.LUN) !== undefined;
    const response = new Staging(NotificationResponse.LENGTH);
    response.bytes[NotificationResponse.RESPONSE] = known
      ? VirtioScsiResponse.OK
      : VirtioScsiResponse.BAD_TARGET;
    this.answer(request, response, NotificationResponse.LENGTH);
  }

  private respond(request: ControlRequest, response: VirtioScsiResponse): void {
    const staging = new Staging(TASK_MANAGEMENT_RESPONSE_BYTES);
    staging.bytes[0] = response;
    this.answer(request, staging, TASK_MANAGEMENT_RESPONSE_BYTES);
  }

  private answer({ vring, head, answer }: ControlRequest, response: Staging, length: number): void {
    if (!vring.discards) this.device.views.copyIn(answer, response, length);
    this.device.log?.markSegments(answer, length);
    vring.push(head, Math.min(length, answer.byteLength));
  }
}

function readableBytes(chain: DescriptorChain): number {
  let total = 0;
  for (let i = 0; i < chain.readable; i++) total += chain.lengthAt(i);
  return total;
}
