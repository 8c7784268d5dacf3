/**
 * Runs a shell script in a guest, by hand:
 *
 *   node dist/qemu/boot.js --socket /run/me/disk.sock --tool sg3-utils -c 'sg_inq /dev/sg0'
 *   node dist/qemu/boot.js --disk a.img --vehicle disk --firmware ovmf script.sh
 *
 *   --socket PATH    a vhost-user-scsi back-end that listens there; may be repeated
 *   --disk FILE      an image, attached by QEMU's own virtio-scsi; may be repeated
 *   --vehicle NAME   initrd (default), or disk: boots the first of the above
 *   --tool NAME      for the initrd vehicle: a Debian package or program; may be repeated
 *   --module NAME    for the initrd vehicle: a kernel module to load; may be repeated
 *   --firmware NAME  seabios (default) or ovmf
 *   --qemu PROGRAM   another QEMU
 *   --queues N       request queues of each vhost-user-scsi device
 *   --timeout S      for boot and script each; default 120
 *   --console        shows the serial console as well, on standard error
 *   -c SCRIPT        the script itself, instead of a file
 *
 * The exit status is the script's; 125 when there was no guest to run it.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { runGuest } from './run.ts';

const NO_GUEST = 125;

function oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined)
    throw new Error(`--${name}: expected ${choices.join(' or ')} but received "${value}"`);
  return found;
}

async function boot(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      socket: { type: 'string', multiple: true, default: [] },
      disk: { type: 'string', multiple: true, default: [] },
      vehicle: { type: 'string', default: 'initrd' },
      tool: { type: 'string', multiple: true, default: [] },
      module: { type: 'string', multiple: true, default: [] },
      firmware: { type: 'string', default: 'seabios' },
      qemu: { type: 'string' },
      queues: { type: 'string' },
      timeout: { type: 'string', default: '120' },
      console: { type: 'boolean', default: false },
      command: { type: 'string', short: 'c' },
    },
  });
  const job = values.command ?? (positionals.length === 1 ? readFileSync(positionals[0], 'utf8') : undefined);
  if (job === undefined) throw new Error('expected one script file, or -c SCRIPT');
  const queues = values.queues === undefined ? undefined : Number(values.queues);
  const { exitCode } = await runGuest({
    vehicle: oneOf('vehicle', values.vehicle, ['initrd', 'disk'] as const),
    firmware: oneOf('firmware', values.firmware, ['seabios', 'ovmf'] as const),
    qemu: values.qemu,
    initrd: { tools: values.tool, modules: values.module },
    vhostUserScsi: values.socket.map((socket, index) => ({ socket, queues, bootIndex: index })),
    disks: values.disk.map((file, index) => ({ file, bootIndex: values.socket.length + index })),
    job,
    timeoutMs: Number(values.timeout) * 1000,
    onOutput: (text) => process.stdout.write(text),
    onConsole: values.console ? (text) => process.stderr.write(text) : undefined,
  });
  return exitCode;
}

try {
  process.exitCode = await boot();
} catch (error) {
  process.stderr.write(`boot: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = NO_GUEST;
}
