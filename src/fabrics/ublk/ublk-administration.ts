/** What is asked of the ublk driver in the life of a device, one function each. All throw LunportError. */
import { setTimeout as delay } from 'node:timers/promises';
import { Errno, LunportError, systemError } from '../../native/errno.ts';
import type { BlockGeometry } from '../loopback/block-geometry.ts';
import type { UblkControl } from './ublk-control.ts';
import { decodeParameters } from './ublk-parameters.ts';
import { MAX_IO_BYTES, QUEUE_DEPTH } from './ublk-queue.ts';
import {
  ANY_DEVICE,
  BLOCK_DEVICE,
  CONTROL_DEVICE,
  ControlCommand,
  DeviceInfo,
  Feature,
  Parameters,
} from './ublk-spec.ts';

const RECOVERABLE = Feature.USER_RECOVERY | Feature.USER_RECOVERY_REISSUE;
/** The core copies what it must see by way of the driver's file. */
const ZERO_COPY = Feature.SUPPORT_ZERO_COPY | Feature.USER_COPY;
const NO_PROCESS = -1;
/** Milliseconds between asks whether the kernel has noticed a server's death, and how often. */
const RETRY_DELAY = 50;
const RETRIES = 200;

export async function checkFeatures(control: UblkControl): Promise<void> {
  const needed = RECOVERABLE | Feature.CMD_IOCTL_ENCODE;
  if (((await control.features()) & needed) === needed) return;
  throw new LunportError({
    code: 'ublk-too-old',
    object: CONTROL_DEVICE,
    message: "This kernel's ublk driver is too old",
    hint: 'It needs Linux 6.5. Use --as nbd or --as fuse.',
  });
}

/** What a device is called, and what the kernel has made of our wishes. */
export interface AddedDevice {
  readonly id: number;
  readonly zeroCopy: boolean;
}

/** Kernels that have no zero copy make the device without. */
export async function addDevice(control: UblkControl, zeroCopy: boolean): Promise<AddedDevice> {
  let id = ANY_DEVICE;
  let flags = RECOVERABLE | Feature.CMD_IOCTL_ENCODE | (zeroCopy ? ZERO_COPY : 0);
  await control.expect(ControlCommand.ADD_DEV, ANY_DEVICE, 'add a device to', CONTROL_DEVICE, {
    length: DeviceInfo.SIZE,
    fill: (view) => {
      view.setUint16(DeviceInfo.QUEUES, 1, true);
      view.setUint16(DeviceInfo.DEPTH, QUEUE_DEPTH, true);
      view.setUint32(DeviceInfo.MAX_IO_BYTES, MAX_IO_BYTES, true);
      view.setInt32(DeviceInfo.DEVICE, ANY_DEVICE, true);
      view.setInt32(DeviceInfo.PID, NO_PROCESS, true);
      view.setUint32(DeviceInfo.FLAGS, flags, true);
    },
    read: (view) => {
      id = view.getInt32(DeviceInfo.DEVICE, true);
      flags = view.getUint32(DeviceInfo.FLAGS, true);
    },
  });
  if (!zeroCopy || hasZeroCopy(flags)) return { id, zeroCopy };
  // It has kept the other half of our wish, with which the device is of no use.
  await removeDevice(control, id);
  return addDevice(control, false);
}

/** Whether a device that is there already was made so. */
export async function isZeroCopy(control: UblkControl, id: number): Promise<boolean> {
  let flags = 0;
  await control.expect(ControlCommand.GET_DEV_INFO, id, 'ask about', BLOCK_DEVICE + id, {
    length: DeviceInfo.SIZE,
    read: (view) => {
      flags = view.getUint32(DeviceInfo.FLAGS, true);
    },
  });
  return hasZeroCopy(flags);
}

function hasZeroCopy(flags: number): boolean {
  return (flags & Feature.SUPPORT_ZERO_COPY) !== 0;
}

/**
 * A device keeps what it was made with: the disk must have the same blocks and not have shrunk. Resolves with the
 * device's size in bytes.
 */
export async function checkSame(control: UblkControl, id: number, geometry: BlockGeometry): Promise<number> {
  const path = BLOCK_DEVICE + id;
  let was = { blockSize: 0, byteLength: 0 };
  await control.expect(ControlCommand.GET_PARAMS, id, 'ask about', path, {
    length: Parameters.SIZE,
    fill: (view) => view.setUint32(Parameters.LENGTH, Parameters.SIZE, true),
    read: (view) => {
      was = decodeParameters(view);
    },
  });
  if (was.blockSize === geometry.blockSize && was.byteLength <= geometry.byteLength) return was.byteLength;
  throw new LunportError({
    code: 'disk-changed',
    object: path,
    message:
      `${path} has ${was.byteLength} bytes in blocks of ${was.blockSize}, ` +
      `but the disk ${geometry.byteLength} in blocks of ${geometry.blockSize}`,
    hint: '"lunport detach" gives the device up.',
  });
}

/** Announces a new server. The kernel agrees once it has seen the old one go. */
export async function takeOver(control: UblkControl, id: number): Promise<void> {
  const path = BLOCK_DEVICE + id;
  for (let i = 0; ; i++) {
    const result = await control.command(ControlCommand.START_USER_RECOVERY, id);
    if (result === 0) return;
    if (result !== Errno.EBUSY || i === RETRIES) throw systemError(result, 'recover', path);
    await delay(RETRY_DELAY);
  }
}

/** It must be stopped. Not waiting until nobody holds it: that may be a mounted file system. */
export async function removeDevice(control: UblkControl, id: number): Promise<void> {
  const result = await control.command(ControlCommand.DEL_DEV_ASYNC, id);
  if (result === 0 || result === Errno.ENODEV) return;
  await control.expect(ControlCommand.DEL_DEV, id, 'delete', BLOCK_DEVICE + id);
}

export function deviceNumber(path: string): number {
  return Number(path.slice(BLOCK_DEVICE.length));
}
