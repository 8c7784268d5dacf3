/**
 * The in-process initiator: a SCSI HBA as an API, as tcm_loop is one for the host. It sends a CDB with data and
 * resolves with status, sense and data. It knows no file descriptor: any `Environment` will do.
 */
import { execute } from '../../scsi/device-server.ts';
import type { Environment, Scratch } from '../../scsi/environment.ts';
import type { Nexus } from '../../scsi/nexus.ts';
import { type ServiceResponse, type Status, TaskAttribute } from '../../scsi/status-spec.ts';
import { MAX_CDB_LENGTH, Task, type TaskOwner } from '../../scsi/task.ts';
import { abortNexus, manage, TaskManagementFunction } from '../../scsi/task-management.ts';

export interface CommandRequest {
  readonly cdb: ArrayLike<number>;
  /** Default 0. */
  readonly lun?: number;
  /** Data to the target. */
  readonly dataOut?: Uint8Array;
  /** Bytes that the initiator is ready to receive; default 0. */
  readonly dataInLength?: number;
  readonly attribute?: TaskAttribute;
  /** Default: a number of the initiator's own. */
  readonly tag?: number;
}

export interface CommandResult {
  readonly status: Status;
  /** Empty unless the status is CHECK CONDITION. */
  readonly sense: Uint8Array;
  /** What arrived, `transferred` bytes. */
  readonly dataIn: Uint8Array;
  /** Bytes moved, in whichever direction. */
  readonly transferred: number;
  /** Bytes offered and not used (positive), or wanted and not offered (negative). */
  readonly residual: number;
  /** Whether a task management function ended it; then no status was to be delivered, unless TAS says so. */
  readonly aborted: boolean;
}

/** A command under way, for tests and callers that abort it. */
export interface RunningCommand {
  readonly task: Task;
  readonly result: Promise<CommandResult>;
}

/** One initiator port on one target port: an I_T nexus, and what an HBA does with it. */
export class Initiator implements TaskOwner {
  readonly nexus: Nexus;
  readonly environment: Environment;
  private readonly running = new Map<Task, (result: CommandResult) => void>();
  /** Where the data of a running command arrives. */
  private readonly incoming = new Map<Task, Scratch>();
  private nextTag = 1;

  constructor(nexus: Nexus, environment: Environment) {
    this.nexus = nexus;
    this.environment = environment;
  }

  /** The initiator port's name, `naa.…` for one that `LocalTarget.connect` made. */
  get name(): string {
    return this.nexus.initiatorPort.name;
  }

  /** Sends one command; never rejects for a SCSI outcome. */
  send(request: CommandRequest): Promise<CommandResult> {
    return this.start(request).result;
  }

  /** Sends one command that can be aborted. Throws a RangeError for a CDB that no transport could carry. */
  start(request: CommandRequest): RunningCommand {
    if (request.cdb.length === 0 || request.cdb.length > MAX_CDB_LENGTH) {
      throw new RangeError(
        `Expected a CDB of 1 to ${MAX_CDB_LENGTH} bytes but received ${request.cdb.length}`,
      );
    }
    const task = new Task(this);
    const { memory } = this.environment;
    const { dataOut, dataInLength = 0 } = request;
    const out = dataOut !== undefined && dataOut.length > 0 ? memory.allocate(dataOut.length) : undefined;
    const incoming = dataInLength > 0 ? memory.allocate(dataInLength) : undefined;
    if (out !== undefined) {
      out.bytes.set(dataOut!);
      task.dataOut.add(out.region, out.offset, dataOut!.length);
    }
    if (incoming !== undefined) task.dataIn.add(incoming.region, incoming.offset, dataInLength);
    task.nexus = this.nexus;
    task.lun = request.lun ?? 0;
    task.tagLow = request.tag ?? this.nextTag++;
    task.attribute = request.attribute ?? TaskAttribute.SIMPLE;
    task.cdb.set(request.cdb);
    task.cdbLength = request.cdb.length;
    const result = new Promise<CommandResult>((resolve) => {
      this.running.set(task, (partial) => {
        resolve(partial);
        release(memory, out, incoming);
      });
    });
    if (incoming !== undefined) this.incoming.set(task, incoming);
    execute(task, this.environment);
    return { task, result };
  }

  /** ABORT TASK (SAM-5 7.2); resolves when the command has ended, whichever way. */
  abort(command: RunningCommand): Promise<ServiceResponse> {
    const { lun, tagHigh, tagLow } = command.task;
    return this.manage(TaskManagementFunction.ABORT_TASK, lun, tagLow, tagHigh);
  }

  /** ABORT TASK SET (SAM-5 7.3): every command of this initiator on `lun`. */
  abortTaskSet(lun = 0): Promise<ServiceResponse> {
    return this.manage(TaskManagementFunction.ABORT_TASK_SET, lun);
  }

  /** LOGICAL UNIT RESET (SAM-5 7.7): everybody's commands on `lun`. */
  resetLogicalUnit(lun = 0): Promise<ServiceResponse> {
    return this.manage(TaskManagementFunction.LOGICAL_UNIT_RESET, lun);
  }

  /** I_T NEXUS RESET (SAM-5 7.6): every command of this initiator, and what it holds besides reservations. */
  resetNexus(): Promise<ServiceResponse> {
    return this.manage(TaskManagementFunction.I_T_NEXUS_RESET, 0);
  }

  /** Any task management function; it is answered when the tasks that it ends have ended. */
  manage(code: TaskManagementFunction, lun: number, tagLow = 0, tagHigh = 0): Promise<ServiceResponse> {
    return new Promise((resolve) =>
      manage({ function: code, nexus: this.nexus, lun, tagHigh, tagLow }, resolve),
    );
  }

  /** Logs out (I_T nexus loss): commands under way are aborted; resolves when none touches its data any more. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      abortNexus(this.nexus, () => {
        this.nexus.close();
        resolve();
      });
    });
  }

  taskDone(task: Task): void {
    const resolve = this.running.get(task)!;
    this.running.delete(task);
    const offered = task.dataIn.byteLength > 0 ? task.dataIn.byteLength : task.dataOut.byteLength;
    const scratch = this.incoming.get(task);
    this.incoming.delete(task);
    resolve({
      status: task.status,
      sense: task.sense.slice(0, task.senseLength),
      dataIn: scratch === undefined ? new Uint8Array(0) : scratch.bytes.slice(0, task.transferred),
      transferred: task.transferred,
      residual: offered - task.transferLength,
      aborted: task.aborted,
    });
  }
}

function release(memory: Environment['memory'], ...buffers: (Scratch | undefined)[]): void {
  for (const buffer of buffers) if (buffer !== undefined) memory.release(buffer);
}
