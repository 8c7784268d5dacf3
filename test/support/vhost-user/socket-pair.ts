/** Two connected unix sockets. The addon has no socketpair(): a target never needs one. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';

export async function socketPair(): Promise<[number, number]> {
  const folder = await mkdtemp(join(tmpdir(), 'lunport-pair-'));
  try {
    const path = join(folder, 's');
    const listener = checked(addon.unixListen(path, 1), 'listen on', path);
    const ours = checked(addon.unixConnect(path), 'connect to', path);
    const theirs = checked(addon.unixAccept(listener), 'accept on', path);
    addon.close(listener);
    return [ours, theirs];
  } finally {
    await rm(folder, { recursive: true });
  }
}
