/** `lunport attach` and `lunport detach`: a disk as a file or block device of this host. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Command, Option } from 'commander';
import { attachDisk, bestKind, cleanUp, forget, makeRoom, releaseHost } from '../target/attachment.ts';
import {
  ATTACHMENT_KINDS,
  ATTACHMENT_NAME,
  type AttachmentKind,
  type AttachmentRecord,
  attachmentLog,
  attachments,
  defaultAttachmentName,
  findAttachment,
  isServed,
  removeRecord,
} from '../target/attachment-record.ts';
import { stateDirectory } from '../target/directories.ts';
import { DISK_OPTIONS_HELP, parseDisk, UsageError } from '../target/disk-spec.ts';
import { LunportError } from '../target/errors.ts';
import { giveUpLater } from '../target/keeper.ts';
import type { JsonObject } from '../target/operations/operation.ts';
import { giveUpUblk, waitingForServer } from '../target/ublk-attachment.ts';
import { ExitCode } from './exit-codes.ts';
import { createLogger } from './log.ts';
import { ask, type RunningLun, runningLun, targetOf } from './running.ts';

interface AttachCommandOptions {
  readonly as?: AttachmentKind;
  readonly name?: string;
  readonly loop: boolean;
  readonly foreground?: true;
  readonly kept?: true;
  readonly recover?: true;
  readonly json?: true;
  readonly state?: string;
  readonly ephemeral?: true;
}

/** What is printed once the disk is there. */
interface Ready {
  readonly name: string;
  readonly kind: AttachmentKind;
  readonly path: string;
  readonly device?: string | null;
  readonly pid: number;
}

/** Milliseconds between looks at a process that is to end, and how often. */
const POLL_INTERVAL = 50;
const POLLS = 400;

const EXAMPLES = `
DISK is what "lunport serve" takes; it must not be served at the same time. A LUN that is served is named by its
target's socket, SOCKET:LUN: then the running lunport hands it over, and guests go on using it. Without DISK it lists
what is attached.

${DISK_OPTIONS_HELP}

ublk   /dev/ublkbN; needs root and Linux 6.5 with the ublk_drv module; killed servers are replaced without an error
fuse   a file, for any user; with root also a loop device on it (file systems, LVM, partitions)
iscsi  /dev/sdX by the kernel's iSCSI initiator over loopback, with sg and reservations; needs root and open-iscsi
nbd    /dev/nbdN by the kernel's client over a Unix socket; needs root and the nbd module

When lunport dies under nbd, fuse or iscsi, whoever uses the disk gets I/O errors; nobody hangs. "lunport detach" then cleans up.

Examples:
  lunport attach disk.img
  lunport attach /run/user/1000/lunport/vm1.sock:1 --as fuse
  lunport detach disk`;

/** `ended` receives the exit code. */
export function attachCommand(ended: (code: number) => void): Command {
  return new Command('attach')
    .description('Hand a disk to this host as a file or block device.')
    .argument('[disk]', 'the disk, with options after commas; or SOCKET:LUN of a running lunport')
    .addOption(new Option('--as <kind>', 'how (default: the best that there is)').choices(ATTACHMENT_KINDS))
    .option('--name <name>', "what to call it (default: the disk's)")
    .option('--no-loop', 'fuse: only the file, no loop device')
    .option('--foreground', 'serve from this process until interrupted')
    .addOption(new Option('--kept', 'ublk: restarted when it dies').hideHelp())
    .addOption(new Option('--recover', 'ublk: give the device up when it cannot be served').hideHelp())
    .option('--json', 'one JSON document on stdout')
    .option('--state <directory>', 'where reservations are kept (default: in the state directory)')
    .option('--ephemeral', 'keep reservations in memory only')
    .addHelpText('after', EXAMPLES)
    .action(async (disk: string | undefined, options: AttachCommandOptions) => {
      const running = disk === undefined ? undefined : runningLun(disk);
      if (disk === undefined) list(options.json === true);
      else if (running !== undefined) await attachRunning(running, options);
      else if (options.foreground) await serve(disk, options);
      else await serveInBackground(disk, options);
      ended(ExitCode.OK);
    });
}

export function detachCommand(ended: (code: number) => void): Command {
  return new Command('detach')
    .description('Take an attached disk away from this host.')
    .argument('<name>', 'name, file or device of the attachment')
    .addOption(new Option('--if-dead', 'only when nobody serves it').hideHelp())
    .action(async (text: string, { ifDead }: { readonly ifDead?: true }) => {
      const record = findAttachment(text);
      if (ifDead && (record === undefined || isServed(record))) return ended(ExitCode.OK);
      if (record === undefined) {
        throw new LunportError({
          code: 'not-attached',
          object: text,
          message: `${text} is not attached`,
          hint: '"lunport attach" lists what is.',
        });
      }
      await detach(record);
      ended(ExitCode.OK);
    });
}

function list(json: boolean): void {
  const found = attachments().map((record) => ({ ...record, served: isServed(record) }));
  if (json) process.stdout.write(`${JSON.stringify(found)}\n`);
  else if (found.length === 0) process.stdout.write('Nothing is attached.\n');
  for (const { name, device, path, disk, served } of json ? [] : found) {
    process.stdout.write(`${name}: ${device ?? path} (${disk})${served ? '' : ', its process is dead'}\n`);
  }
}

/** Throws UsageError. */
function nameOf(disk: string, { name }: AttachCommandOptions): string {
  if (name === undefined) return defaultAttachmentName(parseDisk(disk));
  checkName(name);
  return name;
}

/** Throws UsageError. */
function checkName(name: string): void {
  if (ATTACHMENT_NAME.test(name)) return;
  throw new UsageError(`--name: expected letters, digits, ".", "_", "-" but received "${name}"`);
}

/** The running lunport hands over a LUN of its own. Throws LunportError. */
async function attachRunning({ socket, lun }: RunningLun, options: AttachCommandOptions): Promise<void> {
  const { as, name, loop, foreground, state, ephemeral } = options;
  if (foreground || ephemeral || state !== undefined) {
    throw new UsageError('--foreground, --state and --ephemeral are for a disk that nobody serves yet');
  }
  if (name !== undefined) checkName(name);
  const chosen: JsonObject = { ...(as && { as }), ...(name && { name }) };
  const ready = await ask(socket, 'attach', { ...targetOf(socket), lun, loop, ...chosen });
  announce(ready as unknown as Ready, options);
}

async function serve(disk: string, options: AttachCommandOptions): Promise<void> {
  const name = nameOf(disk, options);
  const log = createLogger('info', false);
  await makeRoom(name, disk);
  const kind = waitingForServer(name, disk)?.kind ?? options.as ?? (await bestKind());
  const attachment = await attachDisk(
    disk,
    {
      name,
      kind,
      loop: kind === 'fuse' && options.loop && process.getuid!() === 0,
      keeper: keeperCommand(name, options),
      log,
    },
    options.ephemeral ? undefined : (options.state ?? stateDirectory()),
  ).catch(async (error: Error) => {
    const record = options.recover && attachments().find((other) => other.name === name);
    if (record?.kind === 'ublk') await giveUpUblk(record.path).finally(() => removeRecord(name));
    throw error;
  });
  const { path, device } = attachment;
  announce({ name, kind, path, device, pid: process.pid }, options);
  await new Promise<void>((resolve) => {
    const stop = () => {
      const record = attachments().find((other) => other.name === name);
      if (record === undefined) return resolve();
      releaseHost(record).then(resolve, (error: Error) => log.error(`${error.message}; still serving`));
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
    void attachment.ended.then(resolve);
  });
  await attachment.close();
}

/** What becomes of a ublk device when this process dies: a new server at once, or half a minute for somebody to start one. */
function keeperCommand(name: string, { kept, recover }: AttachCommandOptions): string[] {
  if (kept) return [process.execPath, ...process.argv.slice(1), ...(recover ? [] : ['--recover'])];
  return giveUpLater(name);
}

/** A process that outlives this one; returns when the disk is there. */
async function serveInBackground(disk: string, options: AttachCommandOptions): Promise<void> {
  const name = nameOf(disk, options);
  await makeRoom(name, disk);
  const logFile = attachmentLog(name);
  const log = openSync(logFile, 'w', 0o600);
  const child = spawn(process.execPath, [...process.argv.slice(1), '--foreground', '--json', '--kept'], {
    detached: true,
    stdio: ['ignore', 'pipe', log],
  });
  closeSync(log);
  const line = await firstLine(child);
  if (line === undefined) {
    const said = readFileSync(logFile, 'utf8');
    rmSync(logFile);
    throw new LunportError({ code: 'attach', object: disk, message: said.trim().replace(/^lunport: /, '') });
  }
  child.unref();
  announce(JSON.parse(line) as Ready, options);
}

/** The first line of standard output; undefined when the process ends before. */
function firstLine(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: child.stdout! });
    lines.once('line', (line) => {
      resolve(line);
      lines.close();
      child.stdout!.destroy();
    });
    child.once('error', reject);
    child.once('exit', () => resolve(undefined));
  });
}

function announce(ready: Ready, { json }: AttachCommandOptions): void {
  const { device, path } = ready;
  const text = !device || device === path ? path : `${device}\n${path}`;
  process.stdout.write(json ? `${JSON.stringify(ready)}\n` : `${text}\n`);
}

async function detach(record: AttachmentRecord): Promise<void> {
  const { socket, name, pid } = record;
  if (!isServed(record)) return cleanUp(record);
  if (socket !== undefined) {
    await ask(socket, 'detach', { ...targetOf(socket), name });
    return;
  }
  await releaseHost(record);
  process.kill(pid, 'SIGTERM');
  for (let i = 0; i < POLLS && isServed(record); i++) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
  }
  if (!isServed(record)) return forget(record);
  throw new LunportError({
    code: 'still-running',
    object: name,
    message: `"${name}" is detached, but its process ${pid} has not ended yet`,
  });
}
