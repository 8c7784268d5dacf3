/** `lunport serve DISK…`: the everyday command. */
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { ConfigurationFile } from '../target/configuration/configuration-file.ts';
import { RunningConfiguration } from '../target/configuration/running.ts';
import { type PlacedConfiguration, serverSetup } from '../target/configuration/server-setup.ts';
import { controlPath } from '../target/control-socket.ts';
import { ControlSockets } from '../target/control-sockets.ts';
import { Daemon } from '../target/daemon.ts';
import { runtimeDirectory } from '../target/directories.ts';
import { DISK_OPTIONS_HELP, UsageError } from '../target/disk-spec.ts';
import { type MetricsAddress, MetricsServer } from '../target/metrics/metrics-server.ts';
import type { NbdOptions } from '../target/nbd-options.ts';
import { LOG_LEVELS, MAX_POLL_MICROSECONDS, MAX_SHARDS } from '../target/option-values.ts';
import { chardev, type GuestSocket, qemuArguments, qemuCommandLine } from '../target/qemu-options.ts';
import type { SocketSpec } from '../target/served-target.ts';
import type { Log } from '../target/server.ts';
import type { LunDescription, ServerDescription, TargetDescription } from '../target/server-description.ts';
import { openHost } from '../target/shards/sharded-host.ts';
import { formatSize } from '../target/size.ts';
import { tellSupervisor, warnOfUnusedSockets } from '../target/supervisor.ts';
import { takeOver } from '../target/takeover.ts';
import { boundUncaughtEnd } from '../target/uncaught.ts';
import { type ConfigurationOptions, commandLineConfiguration } from './command-line.ts';
import { ExitCode } from './exit-codes.ts';
import { withIscsiOptions } from './iscsi-options.ts';
import { createLogger } from './log.ts';
import { withNbdOptions } from './nbd-options.ts';
import { runCommand } from './run-command.ts';

interface ServeOptions extends ConfigurationOptions {
  readonly config?: string;
  readonly memory: string;
  readonly json?: true;
  readonly run?: string;
  /** Undefined: as the configuration has it. */
  readonly logLevel?: string;
  readonly takeover?: true;
}

/** Options that concern a run, and not what is served. */
const WITH_CONFIG = new Set(['--config', '--memory', '--takeover', '--json', '--run', '--log-level']);

/** Milliseconds in which a process closes what it can, when one of its shards is dead. */
const DEATH_PATIENCE = 5000;

const EXAMPLES = `
DISK is a file, a block device, ram:SIZE or null:SIZE; several become LUNs 0, 1, … of one target,
and "+" starts the next target, with a socket of its own. A socket serves one guest at a time: give one target
several to share its disks among guests, which reservations tell apart by their sockets.

${DISK_OPTIONS_HELP}

Examples:
  lunport serve disk.img
  lunport serve disk.img,cache=none ram:1G --socket /tmp/vm1.sock
  lunport serve disk.img --socket /tmp/vm1.sock --socket /tmp/vm2.sock
  lunport serve a.img + b.img --socket /tmp/vm1.sock --socket + --socket /tmp/vm2.sock --connect /tmp/vm3.sock
  lunport serve disk.img --blk
  lunport serve disk.img --takeover
  lunport serve --config lunport.json
  lunport serve iso.img,ro + data.img,create,size=100G
  lunport serve disk.img --run 'qemu-system-x86_64 -accel kvm $LUNPORT_QEMU_OPTIONS'`;

/** `ended` receives the exit code. */
export function serveCommand(ended: (code: number) => void): Command {
  // In the order of the command line, which tells which target they belong to.
  const sockets: SocketSpec[] = [];
  const command = new Command('serve')
    .description('Serve disks to virtual machines until interrupted.')
    .argument('[disk...]', 'disks, with options after commas')
    .option(
      '--config <file>',
      'serve what a configuration says, and write to it what is added and removed later (docs/configuration.md)',
    )
    .option(
      '-s, --socket <path>',
      'where to listen for a guest; several sockets lead several guests to one target (default: in the runtime directory)',
      (path) => sockets.push({ path, role: 'listen' }),
    )
    .option('--connect <path>', 'the same for a guest whose QEMU listens there (server=on)', (path) =>
      sockets.push({ path, role: 'connect' }),
    )
    .option(
      '--blk',
      'virtio block devices (vhost-user-blk) instead of SCSI; each DISK gets a socket of its own',
    )
    .option('-m, --memory <size>', 'guest memory in the printed QEMU options', memorySize, '1G')
    .option(
      '--takeover',
      'end the lunport that serves these sockets or disks first, as an upgrade does; guests go on',
    )
    .option('--json', 'one JSON document on stdout once ready, and JSON lines as the log')
    .option('--run <command>', 'run a shell command while serving, and end with it')
    .addOption(
      new Option('--io <method>', 'how file I/O waits')
        .choices(['auto', 'io_uring', 'threads'])
        .default('auto'),
    )
    .option(
      '--poll-us <microseconds>',
      'spin so long for the next request of a guest that is quick to send one, and up to 200 for a disk that is quick to answer (0 to 1000; 0: never; needs a spare core)',
      wholeNumber('--poll-us', MAX_POLL_MICROSECONDS),
      0,
    )
    .option(
      '--shards <number>',
      'worker threads that targets are dealt out to; 0: all in the main thread',
      wholeNumber('--shards', MAX_SHARDS),
      0,
    )
    .option('--state <directory>', 'where reservations are kept (default: in the state directory)')
    .option('--ephemeral', 'keep reservations in memory only')
    .option('--control <path>', 'the control socket (default: the target socket\'s name and ".ctl")')
    .option('--no-control', 'no control socket')
    .option('--metrics <address:port>', 'serve metrics over HTTP, for Prometheus', metricsAddress)
    .addOption(new Option('--log-level <level>', 'how much to log (default: info)').choices(LOG_LEVELS))
    .addHelpText('after', EXAMPLES);
  return withNbdOptions(withIscsiOptions(command)).action(
    async (disks: string[], options: ServeOptions, self: Command) => {
      const read = (): Wanted =>
        options.config === undefined
          ? { configuration: commandLineConfiguration(disks, sockets, options) }
          : fromFile(disks, options.config, self);
      ended(await serve(read, options));
    },
  );
}

/** As QEMU's -m takes it: a number alone is MiB, which the object beside it would take for bytes. */
function memorySize(text: string): string {
  if (/^[1-9]\d*$/.test(text)) return `${text}M`;
  if (/^[1-9]\d*[MGT]$/i.test(text)) return text.toUpperCase();
  throw new UsageError(`--memory: expected a size such as 4G or 512M but received "${text}"`);
}

function wholeNumber(option: string, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value <= most) return value;
    throw new UsageError(`${option}: expected 0 to ${most} but received "${text}"`);
  };
}

interface Wanted {
  readonly configuration: PlacedConfiguration;
  /** Where it was read, and is kept. */
  readonly file?: ConfigurationFile;
}

function fromFile(disks: readonly string[], path: string, command: Command): Wanted {
  const said = command.options
    .filter((option) => command.getOptionValueSource(option.attributeName()) === 'cli')
    .map(({ long }) => long!);
  const elsewhere = [...disks, ...said.filter((name) => !WITH_CONFIG.has(name))];
  if (elsewhere.length > 0)
    throw new UsageError(`${elsewhere[0]}: with --config, what is served is said in ${path}`);
  return ConfigurationFile.read(resolve(path), runtimeDirectory);
}

async function serve(read: () => Wanted, options: ServeOptions): Promise<number> {
  let wanted = read();
  const log = createLogger(
    options.logLevel ?? wanted.configuration.logLevel ?? 'info',
    options.json === true,
  );
  boundUncaughtEnd(log);
  // Whoever keeps a list of disks wants the others when one is missing, as at a LIO host's boot.
  const partial = wanted.file !== undefined;
  if (options.takeover) {
    await takeOver(serverSetup(wanted.configuration).targets, log, partial);
    // The other one may have written down another disk before it ended.
    wanted = read();
  }
  const { configuration, file } = wanted;
  const setup = serverSetup(configuration);
  const host = await openHost(setup.targets, { ...setup.options, partial, log }, setup.shards);
  let death: Error | undefined;
  const died = host.died.then((error): NodeJS.Signals => {
    death = error;
    endAnyway(error, log);
    return 'SIGTERM';
  });
  const stop = stopSignal();
  const daemon = new Daemon({
    call: (name, params) => host.call(name, params),
    stop: stop.now,
    setLogLevel: (level) => {
      log.level = level;
    },
    configuration: new RunningConfiguration(configuration, file),
  });
  const stopped = Promise.race([stop.received, died]);
  let controls: ControlSockets | undefined;
  let metrics: MetricsServer | undefined;
  let code: number = ExitCode.OK;
  try {
    const served = await host.describe();
    const control = configuration.control ?? controlPaths(served);
    controls = new ControlSockets(control, daemon.call, log);
    if (configuration.metrics !== undefined)
      metrics = await MetricsServer.open(configuration.metrics, () => daemon.metrics(), log);
    announce(served, control, metrics?.url, options);
    warnOfUnusedSockets(listeningPaths(served, control, setup.options.nbd), log);
    tellSupervisor('READY=1', log);
    if (options.run === undefined) await stopped;
    else code = await runAround(served, options, stopped);
  } finally {
    tellSupervisor('STOPPING=1', log);
    metrics?.close();
    try {
      await daemon.close(() => host.close());
    } finally {
      controls?.close();
    }
  }
  if (death !== undefined) throw death;
  return code;
}

/**
 * The guests of a dead shard wait for the next process, and are not to wait for a disk that hangs: what is not closed in
 * time is left as kill -9 leaves it.
 */
function endAnyway({ message }: Error, log: Log): void {
  const end = () => {
    log.error(`${message}\nSomething still runs after ${DEATH_PATIENCE / 1000} seconds: SIGKILL`);
    process.kill(process.pid, 'SIGKILL');
  };
  setTimeout(end, DEATH_PATIENCE).unref();
}

/** Every Unix socket that is listened on. */
function listeningPaths(
  { targets }: ServerDescription,
  control: readonly string[],
  nbd: NbdOptions | undefined,
): Set<string> {
  const sockets = targets.flatMap((target) => target.sockets.filter(({ role }) => role === 'listen'));
  const paths = [...control, ...sockets.map(({ path }) => path)];
  return new Set(nbd !== undefined && 'path' in nbd.address ? [...paths, nbd.address.path] : paths);
}

/** Beside every target's sockets. */
function controlPaths({ targets }: ServerDescription): string[] {
  return targets.flatMap(({ sockets }) => sockets.map(({ path }) => controlPath(path)));
}

/** Throws UsageError. */
function metricsAddress(text: string): MetricsAddress {
  const [, v6, v4, digits] = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? (v4 || '127.0.0.1');
  if (isIP(host) !== 0 && Number(digits) <= 65535) return { host, port: Number(digits) };
  throw new UsageError(`--metrics: expected ADDRESS:PORT such as 127.0.0.1:9100 but received "${text}"`);
}

/** Resolves at the first SIGINT or SIGTERM, or at `now`; a second signal ends the process the hard way. */
function stopSignal(): { received: Promise<NodeJS.Signals>; now: () => void } {
  let now = () => {};
  const received = new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve(name));
    now = () => resolve('SIGTERM');
  });
  return { received, now };
}

async function runAround(
  { targets }: ServerDescription,
  options: ServeOptions,
  stopped: Promise<NodeJS.Signals>,
): Promise<number> {
  const request = { sockets: firstGuest(targets), memory: options.memory };
  const command = runCommand(options.run!, {
    LUNPORT_SOCKET: targets[0].sockets[0].path,
    LUNPORT_QEMU_OPTIONS: qemuArguments(request).join(' '),
  });
  void stopped.then((name) => command.signal(name));
  return command.ended;
}

function announce(
  served: ServerDescription,
  control: readonly string[],
  metrics: string | undefined,
  options: ServeOptions,
): void {
  const request = { sockets: firstGuest(served.targets), memory: options.memory };
  if (options.json === true) {
    const document = {
      event: 'ready',
      pid: process.pid,
      control,
      metrics,
      ...served,
      qemu: qemuArguments(request),
    };
    process.stdout.write(`${JSON.stringify(document)}\n`);
    return;
  }
  for (const { sockets, shard, luns } of served.targets) {
    const place = shard === undefined ? '' : ` (shard ${shard})`;
    for (const { path, role } of sockets) {
      const how = role === 'listen' ? 'Serving on' : 'Serving whoever listens on';
      process.stdout.write(`${how} ${path}${place}\n`);
    }
    for (const lun of luns) process.stdout.write(`  LUN ${lun.lun}: ${lun.name} (${details(lun)})\n`);
  }
  for (const url of served.iscsi) process.stdout.write(`  iSCSI: ${url}\n`);
  for (const uri of served.nbd) process.stdout.write(`  NBD: ${uri}\n`);
  if (metrics !== undefined) process.stdout.write(`  Metrics: ${metrics}\n`);
  if (options.run !== undefined) return;
  process.stdout.write(
    `\nAdd to QEMU's command line (${options.memory} is the guest's memory, in both places):\n${qemuCommandLine(request)}\n` +
      'QEMU 8.2 and newer reconnect after a restart of lunport with ,reconnect=1 (from 9.2 on ,reconnect-ms=1000)\n' +
      'at the end of -chardev.\n' +
      otherGuests(served.targets) +
      '\nReady. Ctrl-C stops.\n',
  );
}

/** The sockets of one guest with a disk of every target. */
function firstGuest(targets: readonly TargetDescription[]): GuestSocket[] {
  return targets.map(({ sockets, device }) => ({ ...sockets[0], device }));
}

function otherGuests(targets: readonly TargetDescription[]): string {
  const others = targets.flatMap(({ sockets }) => sockets.slice(1));
  if (others.length === 0) return '';
  return `Further guests do the same with\n${others.map((socket) => `  -chardev ${chardev(socket, 0)}\n`).join('')}`;
}

function details({ kind, size, blockSize, readOnly, cache, io }: LunDescription): string {
  const parts = [
    kind,
    formatSize(size),
    `${blockSize}-byte blocks`,
    readOnly ? 'read-only' : undefined,
    cache,
    io,
  ];
  return parts.filter((part) => part !== undefined).join(', ');
}
