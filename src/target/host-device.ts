/** Block devices of this host that lead to a disk of ours: a loop device on a file, or the kernel's NBD client. */
import { constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { LunportError } from './errors.ts';
import { runTool } from './run-tool.ts';

const { O_RDONLY, O_EXCL } = constants;
/** Milliseconds between looks at a device that is going away, and how often. */
const POLL_INTERVAL = 20;
const POLLS = 250;
/** Seconds after which the kernel's NBD client gives a silent server up. */
const NBD_TIMEOUT = 60;
const NBD_CONNECTIONS = 4;

export interface DeviceOptions {
  readonly readOnly: boolean;
  /** Bytes per logical block. */
  readonly blockSize: number;
}

/** A loop device on `path`, which must be a file with direct I/O; needs root. Throws LunportError. */
export function makeLoopDevice(path: string, { readOnly, blockSize }: DeviceOptions): Promise<string> {
  const flags = ['--find', '--show', '--direct-io=on', '--sector-size', String(blockSize)];
  const hint = 'A loop device needs root; --no-loop leaves it out.';
  return runTool('losetup', [...flags, ...(readOnly ? ['--read-only'] : []), path], path, hint);
}

/** Lets the loop device see that its file has another size. */
export async function resizeLoopDevice(device: string): Promise<void> {
  await runTool('losetup', ['--set-capacity', device], device);
}

/** Takes the loop device away. Throws LunportError while it is in use. */
export async function removeLoopDevice(device: string): Promise<void> {
  if (!isLoopDevice(device)) return;
  await checkUnused(device);
  await runTool('losetup', ['--detach', device], device);
  if (!(await gone(() => !isLoopDevice(device)))) throw inUse(device);
}

/** Whether it is one, with a file behind it. */
export function isLoopDevice(device: string): boolean {
  return existsSync(`/sys/block/${device.replace('/dev/', '')}/loop/backing_file`);
}

/** The kernel's NBD client on the Unix socket of a server of ours; needs root. Throws LunportError. */
export async function makeNbdDevice(
  socket: string,
  name: string,
  { blockSize }: DeviceOptions,
): Promise<string> {
  const device = freeNbdDevice();
  const options = ['-name', name, '-timeout', String(NBD_TIMEOUT), '-connections', String(NBD_CONNECTIONS)];
  const args = ['-unix', socket, device, ...options, '-block-size', String(blockSize)];
  await runTool('nbd-client', args, device, "It needs root, and the kernel's nbd module (`modprobe nbd`).");
  return device;
}

/** Disconnects it. Throws LunportError while it is in use. */
export async function removeNbdDevice(device: string): Promise<void> {
  if (!isConnected(device)) return;
  await checkUnused(device);
  await runTool('nbd-client', ['-d', device], device);
  if (!(await gone(() => !isConnected(device)))) throw inUse(device);
}

/** Whether this kernel has an NBD client and we may use it. */
export function canUseNbd(): boolean {
  return process.getuid!() === 0 && existsSync('/dev/nbd0') && existsSync('/sys/block/nbd0');
}

function freeNbdDevice(): string {
  const names = existsSync('/sys/block')
    ? readdirSync('/sys/block').filter((name) => /^nbd\d+$/.test(name))
    : [];
  const free = names
    .map((name) => `/dev/${name}`)
    .find((device) => existsSync(device) && !isConnected(device));
  if (free !== undefined) return free;
  throw new LunportError({
    code: 'no-nbd-device',
    object: '/dev/nbd*',
    message: 'There is no free NBD device',
    hint: 'Load the module with more of them: `modprobe nbd nbds_max=16`. Or use --as fuse.',
  });
}

function isConnected(device: string): boolean {
  return existsSync(`/sys/block/${device.replace('/dev/', '')}/pid`);
}

/**
 * A device that somebody holds, such as a mounted file system, cannot be opened exclusively. Not synchronously: this
 * very process may be the one that serves it.
 */
export async function checkUnused(device: string): Promise<void> {
  try {
    const file = await open(device, O_RDONLY | O_EXCL);
    await file.close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') throw inUse(device);
    // Its disk is gone already, and with it whoever used it.
  }
}

function inUse(device: string): LunportError {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const mounted = mounts.map((line) => line.split(' ')).find(([source]) => source === device);
  return new LunportError({
    code: 'EBUSY',
    object: device,
    message: `${device} is in use${mounted === undefined ? '' : `: it is mounted on ${mounted[1]}`}`,
    hint: 'Unmount what is on it first.',
  });
}

async function gone(isGone: () => boolean): Promise<boolean> {
  for (let i = 0; i < POLLS; i++) {
    if (isGone()) return true;
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
  }
  return isGone();
}
