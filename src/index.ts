/**
 * lunport as a library: SCSI disks inside your own process, and disks of your own making.
 *
 * @example A disk file and a SCSI command on it
 * import { LocalTarget, Status } from 'lunport';
 *
 * const target = LocalTarget.open(['disk.img,create,size=1G']);
 * const initiator = target.connect();
 * const capacity = await initiator.send({ cdb: [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], dataInLength: 8 });
 * if (capacity.status === Status.GOOD) console.log(capacity.dataIn);
 * await target.close();
 *
 * A disk of your own making is an object with `byteLength` and `read`, and whatever else it can do: see
 * `UserBackstore`, and examples/counting-disk.ts for one in twenty lines.
 */
export type { UserBackstore } from './backstores/async-backstore.ts';
export type {
  CommandRequest,
  CommandResult,
  Initiator,
  RunningCommand,
} from './fabrics/loopback/initiator.ts';
export { ServiceResponse, Status, TaskAttribute } from './scsi/status-spec.ts';
export { TaskManagementFunction } from './scsi/task-management.ts';
export { UsageError } from './target/disk-spec.ts';
export { LunportError } from './target/errors.ts';
export {
  type LocalDisk,
  LocalTarget,
  type LocalTargetOptions,
  type UserDisk,
} from './target/local-target.ts';
