import type { MachineOptions, Properties, QemuDisk, VhostUserScsi } from './machine.ts';

/** What is decided at run time. */
export interface CommandLineParts {
  readonly accelerator: 'kvm' | 'tcg';
  readonly firmware: readonly string[];
  readonly boot: { readonly kernel: string; readonly initrd: string } | null;
  /** Unix sockets on which we listen: QEMU connects as it starts. */
  readonly jobSocket: string;
  readonly qmpSocket: string;
}

/** Quiet, without self-tests and mitigations: seconds under TCG. A panic resets at once, which ends QEMU. */
const KERNEL_ARGUMENTS = [
  ...['console=ttyS0', 'quiet', 'panic=-1', 'cryptomgr.notests', 'mitigations=off'],
  // On a busy machine the emulated timer misses the moment at which the kernel looks, and it panics.
  'no_timer_check',
];

/** QEMU's option syntax doubles a comma inside a value. */
function escaped(value: string | number | boolean): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return String(value).replaceAll(',', ',,');
}

function option(head: string, properties: Readonly<Record<string, Properties[string] | undefined>>): string {
  const words = [head];
  for (const [name, value] of Object.entries(properties)) {
    if (value !== undefined) words.push(`${name}=${escaped(value)}`);
  }
  return words.join(',');
}

function vhostUserScsi(device: VhostUserScsi, index: number): string[] {
  const id = `lunport${index}`;
  const { kind = 'scsi' } = device;
  const suffix = device.interface ? `-${device.interface}` : '';
  return [
    ...['-chardev', option('socket', { id, path: device.socket, ...device.chardev })],
    '-device',
    option(`vhost-user-${kind}-pci${suffix}`, {
      chardev: id,
      [kind === 'blk' ? 'num-queues' : 'num_queues']: device.queues,
      bootindex: device.bootIndex,
      ...device.device,
    }),
  ];
}

function qemuDisk(disk: QemuDisk, index: number): string[] {
  const id = `disk${index}`;
  const drive = option('if=none', { id, format: disk.format ?? 'raw', file: disk.file });
  const device = option('scsi-hd', {
    drive: id,
    bus: 'qemuscsi.0',
    bootindex: disk.bootIndex,
    ...disk.device,
  });
  return ['-drive', drive, '-device', device];
}

/** The arguments of a machine, without the program. */
export function qemuArguments(options: MachineOptions, parts: CommandLineParts): string[] {
  const memory = options.memoryMiB ?? 512;
  const disks = options.disks ?? [];
  const kvm = parts.accelerator === 'kvm';
  // QEMU takes the first place itself for a kernel of its own, and refuses two of the same.
  const withoutBoot = <T extends QemuDisk | VhostUserScsi>(device: T): T =>
    parts.boot === null ? device : { ...device, bootIndex: undefined };
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-machine', `${options.machine ?? 'q35'},memory-backend=memory`],
    // A back-end can only map memory that is a file, shared.
    ...['-object', `memory-backend-memfd,id=memory,size=${memory}M,share=on`],
    ...['-m', `${memory}M`, '-smp', String(options.cpus ?? 2)],
    ...['-accel', kvm ? 'kvm' : 'tcg,thread=multi', '-cpu', options.cpu ?? (kvm ? 'host' : 'max')],
    // Guest.reboot() allows a reset for as long as it takes; any other one is a crash.
    ...['-action', 'reboot=shutdown,shutdown=poweroff,panic=shutdown'],
    ...parts.firmware,
    ...(parts.boot === null
      ? []
      : [
          ...['-kernel', parts.boot.kernel, '-initrd', parts.boot.initrd],
          ...['-append', [...KERNEL_ARGUMENTS, ...(options.kernelArguments ?? [])].join(' ')],
        ]),
    // signal=off: QEMU is not to take Ctrl-C for itself.
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...['-chardev', option('socket', { id: 'qmp', path: parts.qmpSocket }), '-mon', 'qmp,mode=control'],
    ...['-device', 'virtio-serial-pci', '-chardev', option('socket', { id: 'job', path: parts.jobSocket })],
    ...['-device', 'virtserialport,chardev=job,name=lunport.job'],
    ...(disks.length === 0 ? [] : ['-device', 'virtio-scsi-pci,id=qemuscsi']),
    ...disks.map(withoutBoot).flatMap(qemuDisk),
    ...(options.vhostUserScsi ?? []).map(withoutBoot).flatMap(vhostUserScsi),
    ...(options.extraArgs ?? []),
  ];
}
