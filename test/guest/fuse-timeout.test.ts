/** A FUSE attachment whose disk never answers: the kernel (Linux 6.14 and later) ends the connection, and nobody hangs. */
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { mountFuse, unmountFuse } from '../../src/fabrics/fuse/fuse-mount.ts';
import { FuseSession } from '../../src/fabrics/fuse/fuse-session.ts';
import { BlockInitiator } from '../../src/fabrics/loopback/block-initiator.ts';
import { LocalTarget } from '../../src/target/local-target.ts';

/** Seconds: the least that the kernel counts. */
const TIMEOUT = 15;
const [major, minor] = release().split('.').map(Number);
// Older kernels wait for ever: there is nothing to be seen on them.
const onThisKernel = major > 6 || (major === 6 && minor >= 14) ? test : test.skip;

onThisKernel('who waits for a disk that never answers gets an error', async (t) => {
  const folder = temporaryFolder();
  const path = join(folder.path, 'disk');
  writeFileSync(path, '');
  let answer: () => void = () => {};
  const hanging = {
    name: 'hanging',
    backstore: {
      byteLength: 1 << 20,
      read: () =>
        new Promise<Uint8Array>((resolve) => {
          answer = () => resolve(new Uint8Array(4096));
        }),
    },
  };
  const target = LocalTarget.open([hanging]);
  const initiator = await BlockInitiator.open(target.connect('host').nexus, 0, target.shard.environment);
  const fd = await mountFuse(path, 'hanging', true);
  let session!: FuseSession;
  const ended = new Promise<void>((resolve) => {
    session = new FuseSession(fd, initiator, { sessionEnded: () => resolve() }, TIMEOUT);
  });
  const file = await open(path, 'r');
  const before = Date.now();
  const read = file.read(Buffer.alloc(4096), 0, 4096, 0).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code,
  );
  const code = await read;
  t.truthy(code);
  t.log(`${code} after ${Math.round((Date.now() - before) / 1000)} s`);
  await ended;
  answer();
  await file.close().catch(() => {});
  await session.close();
  await unmountFuse(path).catch(() => {});
  await target.close();
  folder.remove();
});
