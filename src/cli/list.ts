/** `lunport list`: what is served, by this user's running lunports. */
import { Command } from 'commander';
import { LunportError } from '../target/errors.ts';
import { formatSize } from '../target/size.ts';
import { ExitCode } from './exit-codes.ts';
import { ask, controlSockets } from './running.ts';

/** What the operation `list` answers, as far as it is shown here. */
interface Listed {
  readonly targets: readonly ListedTarget[];
}

interface ListedTarget {
  readonly sockets: readonly { readonly path: string }[];
  readonly luns: readonly ListedLun[];
  readonly absent?: readonly { readonly lun: number; readonly reason: string }[];
  readonly vhostUser: readonly { readonly frontEnd?: { readonly pid?: number } }[];
  readonly iscsi: string | null;
  readonly nbd: readonly string[];
}

interface ListedLun {
  readonly lun: number;
  readonly disk: string;
  readonly kind: string;
  readonly size: number;
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly reservation: object | null;
}

const NOTHING =
  'Nothing is served under default names; lunport list SOCKET asks the owner of another socket.';

const EXAMPLES = `
SOCKET is the socket of a target, or a control socket. Without one, everything that runs with default names is listed.

Examples:
  lunport list
  lunport list /tmp/vm1.sock --json`;

/** `ended` receives the exit code. */
export function listCommand(ended: (code: number) => void): Command {
  return new Command('list')
    .description('Show what running lunports serve, and to whom.')
    .argument('[socket...]', 'sockets of targets')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', EXAMPLES)
    .action(async (sockets: string[], { json }: { json?: true }) => {
      const targets = sockets.length === 0 ? await listAll() : await listThese(sockets);
      if (json) process.stdout.write(`${JSON.stringify({ targets }, undefined, 2)}\n`);
      else process.stdout.write(`${targets.flatMap(describe).join('\n') || NOTHING}\n`);
      ended(ExitCode.OK);
    });
}

/** A killed process leaves its socket: what does not answer is not listed. */
async function listAll(): Promise<ListedTarget[]> {
  const found = await Promise.all(
    controlSockets().map(async (path) => {
      try {
        return await listAt(path);
      } catch (error) {
        if (error instanceof LunportError) return [];
        throw error;
      }
    }),
  );
  return unique(found.flat());
}

async function listThese(sockets: readonly string[]): Promise<ListedTarget[]> {
  return unique((await Promise.all(sockets.map(listAt))).flat());
}

async function listAt(socket: string): Promise<readonly ListedTarget[]> {
  return ((await ask(socket, 'list')) as unknown as Listed).targets;
}

/** One process with two targets was asked twice. */
function unique(targets: readonly ListedTarget[]): ListedTarget[] {
  return [...new Map(targets.map((target) => [target.sockets[0].path, target])).values()];
}

function describe(target: ListedTarget): string[] {
  return [
    ...target.sockets.map(({ path }, i) => {
      const frontEnd = target.vhostUser[i]?.frontEnd;
      return frontEnd === undefined ? path : `${path} (used by process ${frontEnd.pid})`;
    }),
    ...target.luns.map(describeLun),
    // An older lunport knows of none.
    ...(target.absent ?? []).map(({ lun, reason }) => `  LUN ${lun}: absent: ${reason}`),
    ...(target.iscsi === null ? [] : [`  iSCSI: ${target.iscsi}`]),
    ...target.nbd.map((uri) => `  NBD: ${uri}`),
  ];
}

function describeLun({ lun, disk, kind, size, blockSize, readOnly, reservation }: ListedLun): string {
  const details = [
    kind,
    formatSize(size),
    `${blockSize}-byte blocks`,
    ...(readOnly ? ['read-only'] : []),
    ...(reservation === null ? [] : ['reserved or registered']),
  ];
  return `  LUN ${lun}: ${disk} (${details.join(', ')})`;
}
