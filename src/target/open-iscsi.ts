/** The kernel's own iSCSI initiator, told by open-iscsi's iscsiadm to log in to a target of ours on this machine. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LunportError } from './errors.ts';
import { writeIscsiSecret } from './open-iscsi-secret.ts';
import { runTool } from './run-tool.ts';

export interface IscsiTargetAddress {
  /** `iqn.…` */
  readonly target: string;
  /** `host:port` */
  readonly portal: string;
}

export interface IscsiSecret {
  readonly user: string;
  readonly secret: string;
}

const TRANSPORT = '/sys/class/iscsi_transport/tcp';
const SESSIONS = '/sys/class/iscsi_session';
const HINT = 'It needs root, the package open-iscsi with iscsid running, and the kernel module iscsi_tcp.';
/** Milliseconds between looks for a disk that is to appear, and how often. */
const POLL_INTERVAL = 50;
const POLLS = 400;

/**
 * Seconds. A server that is dead or silent is given up after the ping's two and the replacement time-out: half a
 * minute; open-iscsi's own settings would let whoever uses the disk wait for two and a half.
 */
const SETTINGS: readonly (readonly [name: string, value: string])[] = [
  ['node.startup', 'manual'],
  ['node.session.initial_login_retry_max', '1'],
  ['node.session.timeo.replacement_timeout', '20'],
  ['node.conn[0].timeo.noop_out_interval', '5'],
  ['node.conn[0].timeo.noop_out_timeout', '5'],
  ['node.session.auth.authmethod', 'CHAP'],
];

/** Logs in and waits for the disk; resolves with its device. Throws LunportError; nothing is left then. */
export async function loginIscsi(
  address: IscsiTargetAddress,
  { user, secret }: IscsiSecret,
): Promise<string> {
  await checkTransport();
  await iscsiadm(address, '-o', 'new');
  try {
    for (const [name, value] of [...SETTINGS, ['node.session.auth.username', user]]) {
      await iscsiadm(address, '-o', 'update', '-n', name, '-v', value);
    }
    await writeIscsiSecret(address.target, secret);
    await iscsiadm(address, '--login');
    return await diskOf(address);
  } catch (error) {
    await logoutIscsi(address).catch(() => {});
    throw error;
  }
}

/** Ends the session, if there is one, and forgets the target. Throws LunportError. */
export async function logoutIscsi(address: IscsiTargetAddress): Promise<void> {
  if (sessionOf(address) !== undefined) await iscsiadm(address, '--logout');
  await iscsiadm(address, '-o', 'delete').catch(() => {});
}

/** Whether the initiator has a session with it. */
export function hasIscsiSession(address: IscsiTargetAddress): boolean {
  return sessionOf(address) !== undefined;
}

function iscsiadm({ target, portal }: IscsiTargetAddress, ...args: string[]): Promise<string> {
  return runTool('iscsiadm', ['-m', 'node', '-T', target, '-p', portal, ...args], target, HINT);
}

async function checkTransport(): Promise<void> {
  await runTool('iscsiadm', ['--version'], 'the kernel’s iSCSI initiator', HINT);
  if (existsSync(TRANSPORT)) return;
  await runTool('modprobe', ['iscsi_tcp'], TRANSPORT).catch(() => {});
  if (existsSync(TRANSPORT)) return;
  throw new LunportError({
    code: 'no-iscsi-initiator',
    object: TRANSPORT,
    message: 'This kernel has no iSCSI initiator',
    hint: HINT,
  });
}

/** The session's directory below /sys. */
function sessionOf({ target }: IscsiTargetAddress): string | undefined {
  if (!existsSync(SESSIONS)) return undefined;
  const sessions = readdirSync(SESSIONS).map((name) => join(SESSIONS, name));
  return sessions.find((path) => {
    const file = join(path, 'targetname');
    return existsSync(file) && readFileSync(file, 'utf8').trim() === target;
  });
}

/** The session's only disk, at LUN 0. */
async function diskOf(address: IscsiTargetAddress): Promise<string> {
  for (let i = 0; i < POLLS; i++) {
    const name = diskNameOf(address);
    if (name !== undefined && existsSync(`/dev/${name}`)) return `/dev/${name}`;
    await delay(POLL_INTERVAL);
  }
  throw new LunportError({
    code: 'no-iscsi-disk',
    object: address.target,
    message: `The kernel logged in to ${address.target} and found no disk there`,
    hint: 'Is the module sd_mod loaded? The kernel’s log may say more.',
  });
}

function diskNameOf(address: IscsiTargetAddress): string | undefined {
  const session = sessionOf(address);
  if (session === undefined) return undefined;
  const device = join(session, 'device');
  for (const target of readdirSync(device).filter((name) => /^target\d/.test(name))) {
    for (const unit of readdirSync(join(device, target)).filter((name) => name.endsWith(':0'))) {
      const block = join(device, target, unit, 'block');
      if (existsSync(block)) return readdirSync(block)[0];
    }
  }
  return undefined;
}
