/**
 * A block device of this host whose server is this process. Devices are made recoverable: when the process dies the
 * kernel holds all requests, those under way included, for the next server, until somebody deletes the device.
 */
import { closeSync, openSync } from 'node:fs';
import { fromNodeError, LunportError, systemError } from '../../native/errno.ts';
import type { RegionMemory } from '../../native/memory.ts';
import type { BlockInitiator } from '../loopback/block-initiator.ts';
import {
  type AddedDevice,
  addDevice,
  checkFeatures,
  checkSame,
  deviceNumber,
  isZeroCopy,
  removeDevice,
  takeOver,
} from './ublk-administration.ts';
import { UblkControl } from './ublk-control.ts';
import { encodeParameters } from './ublk-parameters.ts';
import { MAX_IO_BYTES, UblkQueue } from './ublk-queue.ts';
import { BLOCK_DEVICE, CHARACTER_DEVICE, ControlCommand, Parameters, SECTOR } from './ublk-spec.ts';

export class UblkDevice {
  /** /dev/ublkbN. */
  readonly path: string;
  /** Resolves when the device has been stopped, by us or by somebody else. */
  readonly ended: Promise<void>;
  private readonly id: number;
  private readonly control: UblkControl;
  private readonly device: BlockInitiator;
  private readonly fd: number;
  private readonly queue: UblkQueue;
  /** Bytes, as the kernel knows. */
  private size: number;

  private constructor(
    { id, zeroCopy }: AddedDevice,
    control: UblkControl,
    device: BlockInitiator,
    memory: RegionMemory,
    size = device.geometry.byteLength,
  ) {
    this.size = size;
    this.id = id;
    this.path = BLOCK_DEVICE + id;
    this.control = control;
    this.device = device;
    const character = CHARACTER_DEVICE + id;
    try {
      this.fd = openSync(character, 'r+');
    } catch (error) {
      throw fromNodeError(error, 'open', character);
    }
    try {
      this.queue = new UblkQueue(this.fd, device, memory, zeroCopy);
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
    this.ended = this.queue.ended;
  }

  /** Makes a device; needs root and Linux 6.5. `announce` hears its path before it starts. Throws LunportError. */
  static async create(
    device: BlockInitiator,
    memory: RegionMemory,
    announce: (path: string) => void,
  ): Promise<UblkDevice> {
    const control = new UblkControl(memory);
    try {
      await checkFeatures(control);
      const added = await addDevice(control, device.takesKernelBuffers);
      const { id } = added;
      const path = BLOCK_DEVICE + id;
      try {
        announce(path);
        const fill = (view: DataView) => encodeParameters(view, device.geometry, MAX_IO_BYTES);
        const parameters = { length: Parameters.SIZE, fill };
        await control.expect(ControlCommand.SET_PARAMS, id, 'describe the disk to', path, parameters);
        const created = new UblkDevice(added, control, device, memory);
        await created.serve(ControlCommand.START_DEV);
        return created;
      } catch (error) {
        await removeDevice(control, id);
        throw error;
      }
    } catch (error) {
      control.close();
      throw error;
    }
  }

  /** Becomes the server of a device whose own died. Throws LunportError. */
  static async recover(path: string, device: BlockInitiator, memory: RegionMemory): Promise<UblkDevice> {
    const control = new UblkControl(memory);
    try {
      const id = deviceNumber(path);
      const size = await checkSame(control, id, device.geometry);
      const zeroCopy = await isZeroCopy(control, id);
      if (zeroCopy && !device.takesKernelBuffers) throw copiesNow(path);
      await takeOver(control, id);
      const recovered = new UblkDevice({ id, zeroCopy }, control, device, memory, size);
      await recovered.serve(ControlCommand.END_USER_RECOVERY);
      return recovered;
    } catch (error) {
      control.close();
      throw error;
    }
  }

  /** Tells the kernel the disk's size when it is another. Throws LunportError before Linux 6.16, which cannot be told. */
  async resize(): Promise<void> {
    const { byteLength } = this.device.geometry;
    if (byteLength === this.size) return;
    const data = byteLength / SECTOR;
    await this.control.expect(ControlCommand.UPDATE_SIZE, this.id, 'resize', this.path, { data });
    this.size = byteLength;
  }

  /** Serves what is under way and what the kernel still writes back, then takes the device away. */
  async close(): Promise<void> {
    await this.stop();
    await removeDevice(this.control, this.id);
    this.control.close();
  }

  /** Begins to serve; the command completes when the kernel agrees. */
  private async serve(command: ControlCommand): Promise<void> {
    this.queue.start();
    const result = await this.control.command(command, this.id, { data: process.pid });
    if (result === 0) return;
    await this.stop();
    throw systemError(result, 'start', this.path);
  }

  private async stop(): Promise<void> {
    await this.control.command(ControlCommand.STOP_DEV, this.id);
    await this.queue.ended;
    this.queue.close();
    closeSync(this.fd);
  }
}

function copiesNow(path: string): LunportError {
  return new LunportError({
    code: 'disk-changed',
    object: path,
    message: `${path} was made for a disk with cache=none, which can do without copies; this one cannot`,
    hint: '"lunport detach" gives the device up.',
  });
}

/** Gives up a device whose server died: whoever waits for it gets an I/O error. Throws LunportError. */
export async function deleteUblkDevice(path: string, memory: RegionMemory): Promise<void> {
  const control = new UblkControl(memory);
  try {
    await control.command(ControlCommand.STOP_DEV, deviceNumber(path));
    await removeDevice(control, deviceNumber(path));
  } finally {
    control.close();
  }
}

/** Whether this kernel can do all that we need, and lets us ask: a container may show the device and keep it. */
export async function hasUblk(memory: RegionMemory): Promise<boolean> {
  let control: UblkControl | undefined;
  try {
    control = new UblkControl(memory);
    await checkFeatures(control);
    return true;
  } catch {
    return false;
  } finally {
    control?.close();
  }
}
