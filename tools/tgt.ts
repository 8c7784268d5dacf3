/** Debian's tgt as the peer on the same machine: a thin, removable disk in a sparse file, in a process of its own. */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { spawnOwned } from '../qemu/owned-child.ts';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { freePort } from '../test/support/free-port.ts';

const IQN = 'iqn.2026-01.io.lunport:peer';
const START_ATTEMPTS = 50;
/** A number that tells several tgtds apart. */
const CONTROL_PORT = '7';
const MISSING = 127;

export interface Tgt {
  readonly pid: number;
  readonly url: string;
  stop(): Promise<void>;
}

/** Undefined where tgt is not installed. `folder` is where its disk lies: /dev/shm for measurements. */
export async function startTgt(bytes: number, folder = temporaryFolder()): Promise<Tgt | undefined> {
  const port = await freePort();
  const disk = join(folder.path, 'tgt.img');
  writeFileSync(disk, '');
  truncateSync(disk, bytes);
  const env = { ...process.env, TGT_IPC_SOCKET: join(folder.path, 'tgt') };
  const args = ['tgtd', '-f', '-C', CONTROL_PORT, '-p', join(folder.path, 'pid')];
  const child = spawnOwned([...args, '--iscsi', `portal=127.0.0.1:${port}`], { stdio: 'ignore', env });
  const exited = once(child, 'exit').catch(() => [MISSING]);
  const admin = async (...words: string[]) => {
    await promisify(execFile)('tgtadm', ['-C', CONTROL_PORT, '--lld', 'iscsi', '--op', ...words], { env });
  };
  if (!(await started(admin, exited))) {
    folder.remove();
    return undefined;
  }
  await admin('new', '--mode', 'target', '--tid', '1', '-T', IQN);
  await admin('new', '--mode', 'logicalunit', '--tid', '1', '--lun', '1', '-b', disk);
  const params = 'thin_provisioning=1,removable=1';
  await admin('update', '--mode', 'logicalunit', '--tid', '1', '--lun', '1', '--params', params);
  await admin('bind', '--mode', 'target', '--tid', '1', '-I', 'ALL');
  return {
    pid: child.pid!,
    url: `iscsi://127.0.0.1:${port}/${IQN}/1`,
    async stop() {
      child.kill('SIGKILL');
      await exited;
      folder.remove();
    },
  };
}

async function started(
  admin: (...words: string[]) => Promise<void>,
  exited: Promise<unknown>,
): Promise<boolean> {
  let gone = false;
  void exited.then(() => {
    gone = true;
  });
  for (let attempt = 0; attempt < START_ATTEMPTS && !gone; attempt++) {
    try {
      await admin('show', '--mode', 'target');
      return true;
    } catch {
      await delay(100);
    }
  }
  return false;
}
