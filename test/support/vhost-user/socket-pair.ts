/** Two connected unix sockets. The addon has no socketpair(): a target never needs one. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addon } from '../../../src/native/addon.ts';
import { succeed } from './guest-memory.ts';

export async function socketPair(): Promise<[number, number]> {
  const folder = await mkdtemp(join(tmpdir(), 'lunport-pair-'));
  try {
    const path = join(folder, 's');
    const listener = succeed(addon.unixListen(path, 1), 'unixListen');
    const ours = succeed(addon.unixConnect(path), 'unixConnect');
    const theirs = succeed(addon.unixAccept(listener), 'unixAccept');
    addon.close(listener);
    return [ours, theirs];
  } finally {
    await rm(folder, { recursive: true });
  }
}
