/**
 * What is measured: lunport with each kind of disk, the minimal responder as the machine's limit, and
 * qemu-storage-daemon as a peer. Each starts as a child process on a socket, and ends with it.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { spawnOwned } from '../qemu/owned-child.ts';
import { packageRoot } from '../qemu/package-root.ts';
import type { MeasurementRequest } from './measurement.ts';

const START_MILLISECONDS = 20_000;
const MEBIBYTE = 1 << 20;

export interface Target {
  readonly name: string;
  /** What it serves: rows of the same kind are compared. */
  readonly disk: DiskKind;
  readonly device: MeasurementRequest['device'];
  /** The command line; undefined when the program is not on this machine. */
  command(socket: string): readonly string[] | undefined;
}

export const DISK_KINDS = ['null', 'ram', 'file', 'direct'] as const;
export type DiskKind = (typeof DISK_KINDS)[number];

export interface Disks {
  /** Path of a file of `bytes` bytes, written in full. */
  readonly file: string;
  readonly bytes: number;
}

/** lunport built in `root`, by default this checkout. */
export function lunportTargets(
  disks: Disks,
  root = packageRoot(),
  name = 'lunport',
  serveArguments: readonly string[] = [],
): Target[] {
  const main = join(root, 'dist', 'src', 'cli', 'main.js');
  const size = `${disks.bytes / MEBIBYTE}M`;
  const operands: Record<DiskKind, string> = {
    null: `null:${size}`,
    ram: `ram:${size}`,
    // Two builds that are compared have the file open at the same time.
    file: `${disks.file},share`,
    direct: `${disks.file},cache=none,share`,
  };
  return DISK_KINDS.map((disk) => ({
    name,
    disk,
    device: 'scsi',
    command: (socket) => [
      process.execPath,
      main,
      'serve',
      operands[disk],
      '--socket',
      socket,
      '--ephemeral',
      '--log-level',
      'error',
      ...serveArguments,
    ],
  }));
}

/** The same ring work in C, with nothing around it. */
export function responderTargets(disks: Disks): Target[] {
  const program = minimalResponder();
  const size = String(disks.bytes / MEBIBYTE);
  const modes = [
    { name: 'minimal C, polling', flag: '--poll' },
    { name: 'minimal C, eventfd', flag: '--eventfd' },
  ];
  return modes.flatMap(({ name, flag }): Target[] => [
    {
      name,
      disk: 'null',
      device: 'scsi',
      command: (socket) => [program, '--socket', socket, '--null', flag],
    },
    {
      name,
      disk: 'ram',
      device: 'scsi',
      command: (socket) => [program, '--socket', socket, '--ram', size, flag],
    },
  ]);
}

/** qemu-storage-daemon's vhost-user-blk export: virtio-blk, so no SCSI work at all. */
export function storageDaemonTargets(disks: Disks, queues: number): Target[] {
  const file = `driver=file,filename=${disks.file},locking=off,node-name=disk`;
  const nodes: { name: string; disk: DiskKind; node: string }[] = [
    { name: 'qsd', disk: 'null', node: `driver=null-co,read-zeroes=off,size=${disks.bytes},node-name=disk` },
    { name: 'qsd, threads', disk: 'file', node: file },
    { name: 'qsd, io_uring', disk: 'file', node: `${file},aio=io_uring` },
    { name: 'qsd, native', disk: 'direct', node: `${file},cache.direct=on,aio=native` },
    { name: 'qsd, io_uring', disk: 'direct', node: `${file},cache.direct=on,aio=io_uring` },
  ];
  const program = '/usr/bin/qemu-storage-daemon';
  return nodes.map(({ name, disk, node }) => ({
    name,
    disk,
    device: 'blk',
    command: (socket) =>
      existsSync(program)
        ? [
            program,
            '--blockdev',
            node,
            '--export',
            `type=vhost-user-blk,id=disk,node-name=disk,writable=on,num-queues=${queues},addr.type=unix,addr.path=${socket}`,
          ]
        : undefined,
  }));
}

/** Path of the compiled responder; compiles it when its source is newer. */
export function minimalResponder(): string {
  const root = packageRoot();
  const source = join(root, 'bench', 'minimal-responder', 'minimal-responder.c');
  const program = join(root, 'dist', 'bench', 'minimal-responder', 'minimal-responder');
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  mkdirSync(dirname(program), { recursive: true });
  const { status, stderr, error } = spawnSync(
    'cc',
    ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`cannot compile ${source}: ${error?.message ?? stderr}`);
  return program;
}

/** A target's process. It starts paused: one that spins would take the core of whoever is measured. */
export interface RunningTarget {
  readonly pid: number;
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

/** Starts a target and waits until its socket accepts; undefined when its program is not installed. */
export async function startTarget(target: Target, socket: string): Promise<RunningTarget | undefined> {
  const command = target.command(socket);
  if (command === undefined) return undefined;
  // Not every target removes its socket when it ends.
  rmSync(socket, { force: true });
  const child = spawnOwned(onCore(TARGET_CORE, command), { stdio: ['ignore', 'ignore', 'pipe'] });
  let messages = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    messages += text;
  });
  const deadline = Date.now() + START_MILLISECONDS;
  while (!(await accepts(socket))) {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${target.name} did not start: ${command.join(' ')}\n${messages}`);
    }
    await delay(20);
  }
  child.kill('SIGSTOP');
  return {
    pid: child.pid!,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  child.kill('SIGCONT');
  const forced = setTimeout(() => child.kill('SIGKILL'), 5000);
  await ended;
  clearTimeout(forced);
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

const TARGET_CORE = 0;
export const GENERATOR_CORE = 1;

/** A command bound to one core, where taskset exists: two that spin must not meet on one. */
export function onCore(core: number, command: readonly string[]): readonly string[] {
  const taskset = '/usr/bin/taskset';
  return existsSync(taskset) ? [taskset, '-c', String(core), ...command] : command;
}
