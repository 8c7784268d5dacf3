import type { Firmware } from './firmware.ts';
import type { InitrdOptions } from './initrd.ts';

/** A property list as `-device` takes it. */
export type Properties = Readonly<Record<string, string | number | boolean>>;

/** A vhost-user-scsi controller, whose disks somebody serves on `socket`. */
export interface VhostUserScsi {
  /** The path of the back-end's listening socket. */
  readonly socket: string;
  /** Which virtio device the back-end is; default: scsi. */
  readonly kind?: 'scsi' | 'blk';
  /** Request queues; QEMU's default is one per virtual CPU. */
  readonly queues?: number;
  /** Firmware boots the lowest first. Of no effect in the initrd vehicle, which has its kernel already. */
  readonly bootIndex?: number;
  /** '' has both virtio interfaces, and is QEMU's default. */
  readonly interface?: '' | 'transitional' | 'non-transitional';
  /** `'reconnect-ms': 1000` (QEMU 9.2 and newer) or `reconnect: 1` (8.2 to 10) lets the back-end come back. */
  readonly chardev?: Properties;
  /** More properties of the device: `virtqueue_size`, `packed`, `t10_pi`, `id`, `bus`, `addr`… */
  readonly device?: Properties;
}

/** A disk that QEMU itself serves through its own virtio-scsi: for comparison, and to test this folder. */
export interface QemuDisk {
  readonly file: string;
  /** Default: raw. */
  readonly format?: string;
  readonly bootIndex?: number;
  /** More properties of the scsi-hd: `serial`, `vendor`, `logical_block_size`… */
  readonly device?: Properties;
}

export interface MachineOptions {
  /** What boots: a kernel and tools in memory, or the first of the attached disks by firmware. */
  readonly vehicle: 'initrd' | 'disk';
  /** Default: seabios. The initrd vehicle boots under both as well. */
  readonly firmware?: Firmware;
  /** QEMU's program, or the program and its first arguments. Default: qemu-system-x86_64. */
  readonly qemu?: string | readonly string[];
  /** Default: auto, which is KVM where it works. */
  readonly accelerator?: 'auto' | 'kvm' | 'tcg';
  /** Default: host with KVM, max with TCG. Debian's 6.12 kernels need max,-cx16. */
  readonly cpu?: string;
  /** Default: q35. More machine properties may follow: 'q35,hpet=off'. */
  readonly machine?: string;
  /** Default: 2. */
  readonly cpus?: number;
  /** Default: 512. */
  readonly memoryMiB?: number;
  readonly vhostUserScsi?: readonly VhostUserScsi[];
  readonly disks?: readonly QemuDisk[];
  /** The initrd vehicle only. */
  readonly initrd?: InitrdOptions;
  /** The initrd vehicle only: more words for the kernel's command line. */
  readonly kernelArguments?: readonly string[];
  /** More arguments for QEMU, at the end. */
  readonly extraArgs?: readonly string[];
}
