/** The QEMU options that attach a socket: what people get wrong is the shared memory, so it is always there. */

import type { DeviceKind, SocketSpec } from './served-target.ts';

/** A socket, and what a guest finds there. */
export interface GuestSocket extends SocketSpec {
  readonly device: DeviceKind;
}

export interface QemuOptionsRequest {
  readonly sockets: readonly GuestSocket[];
  /** As QEMU's -m takes it: `1G`. */
  readonly memory: string;
}

/** Arguments in order, unquoted. */
export function qemuArguments({ sockets, memory }: QemuOptionsRequest): string[] {
  const args = [
    '-m',
    memory,
    '-object',
    `memory-backend-memfd,id=lunport-mem,size=${memory},share=on`,
    '-machine',
    'memory-backend=lunport-mem',
  ];
  for (const [i, socket] of sockets.entries()) {
    args.push('-chardev', chardev(socket, i));
    const boot = i === 0 ? ',bootindex=0' : '';
    args.push('-device', `vhost-user-${socket.device}-pci,chardev=lunport${i}${boot}`);
  }
  return args;
}

/** What `-chardev` takes: the socket whose back-end is the guest's controller number `i`. */
export function chardev({ path, role }: SocketSpec, i: number): string {
  const server = role === 'connect' ? ',server=on,wait=on' : '';
  return `socket,id=lunport${i},path=${path.replaceAll(',', ',,')}${server}`;
}

/** One line that a shell takes, with breaks between options. */
export function qemuCommandLine(request: QemuOptionsRequest): string {
  const args = qemuArguments(request);
  const lines: string[] = [];
  for (let i = 0; i < args.length; i += 2) lines.push(`  ${args[i]} ${shellQuote(args[i + 1])}`);
  return lines.join(' \\\n');
}

function shellQuote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
