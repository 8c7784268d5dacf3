/** Commands to the ublk driver about whole devices. They may take as long as the device's requests do. */
import { closeSync, existsSync, openSync } from 'node:fs';
import { CommandRing, canUseCommandRing } from '../../native/command-ring.ts';
import { fromNodeError, LunportError, systemError } from '../../native/errno.ts';
import type { RegionMemory } from '../../native/memory.ts';
import type { Scratch } from '../../native/scratch.ts';
import { CONTROL_DEVICE, ControlCommand, NO_QUEUE } from './ublk-spec.ts';

/** Commands at a time. */
const DEPTH = 8;
const FEATURES_LENGTH = 8;

function noDriver(cause: unknown): LunportError {
  return new LunportError({
    code: 'ENOENT',
    object: CONTROL_DEVICE,
    message: `There is no ${CONTROL_DEVICE}: the kernel's ublk driver is not loaded`,
    hint: 'Load it: `modprobe ublk_drv` (Linux 6.5 or newer). Or use --as fuse.',
    cause,
  });
}

export class UblkControl {
  private readonly memory: RegionMemory;
  private readonly fd: number;
  private readonly ring: CommandRing;
  private readonly waiting: (((result: number) => void) | undefined)[] = Array.from({ length: DEPTH });

  /** Throws LunportError. */
  constructor(memory: RegionMemory) {
    this.memory = memory;
    try {
      this.fd = openSync(CONTROL_DEVICE, 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw noDriver(error);
      throw fromNodeError(error, 'open', CONTROL_DEVICE);
    }
    try {
      this.ring = new CommandRing(DEPTH, this);
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  commandDone(slot: number, result: number): void {
    const resolve = this.waiting[slot]!;
    this.waiting[slot] = undefined;
    resolve(result);
  }

  /**
   * Resolves with 0 or a negative errno. `fill` writes what the driver is to read into `length` bytes, and `read`
   * takes what it has written there.
   */
  async command(
    command: ControlCommand,
    device: number,
    { data = 0, length = 0, fill, read }: ControlData = {},
  ): Promise<number> {
    const slot = this.waiting.indexOf(undefined);
    if (slot < 0) throw new RangeError('More commands than the control ring has slots');
    const buffer = length > 0 ? this.memory.allocate(length) : undefined;
    buffer?.bytes.fill(0);
    fill?.(viewOf(buffer!));
    const result = await new Promise<number>((resolve) => {
      this.waiting[slot] = resolve;
      const lengthAndQueue = length * 0x1_0000 + NO_QUEUE;
      const { region = -1, offset = 0 } = buffer ?? {};
      this.ring.send(slot, this.fd, command, device, lengthAndQueue, region, offset, length, data);
    });
    if (result >= 0) read?.(viewOf(buffer!));
    if (buffer !== undefined) this.memory.release(buffer);
    return result;
  }

  /** The same; throws LunportError unless it succeeds. `action` and `object` are for its words. */
  async expect(
    command: ControlCommand,
    device: number,
    action: string,
    object: string,
    data: ControlData = {},
  ): Promise<void> {
    const result = await this.command(command, device, data);
    if (result < 0) throw systemError(result, action, object);
  }

  /** Bits of `Feature`; 0 for a kernel before 6.5, which is too old for us. */
  async features(): Promise<number> {
    let features = 0;
    await this.command(ControlCommand.GET_FEATURES, 0, {
      length: FEATURES_LENGTH,
      read: (view) => {
        features = view.getUint32(0, true);
      },
    });
    return features;
  }

  /** Commands must have ended. */
  close(): void {
    this.ring.close();
    closeSync(this.fd);
  }
}

export interface ControlData {
  readonly data?: number;
  /** Bytes. */
  readonly length?: number;
  readonly fill?: (view: DataView) => void;
  readonly read?: (view: DataView) => void;
}

function viewOf({ bytes }: Scratch): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Whether the kernel has the driver and we may use it; how new it is shows only when it is used. */
export function canUseUblk(): boolean {
  return process.getuid!() === 0 && existsSync(CONTROL_DEVICE) && canUseCommandRing();
}
