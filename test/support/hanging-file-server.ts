/**
 * A program for hanging-file.ts: mounts a disk in memory as the file whose path is given, by FUSE, says "mounted",
 * and serves it until it is killed. Each time that the disk is made durable it says "durable". The second argument is
 * how long each write takes, in milliseconds.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { UserBackstore } from '../../src/backstores/async-backstore.ts';
import { mountFuse } from '../../src/fabrics/fuse/fuse-mount.ts';
import { FuseSession } from '../../src/fabrics/fuse/fuse-session.ts';
import { BlockInitiator } from '../../src/fabrics/loopback/block-initiator.ts';
import { LocalTarget } from '../../src/target/local-target.ts';

const [, , path, writeDelay] = process.argv;
const bytes = new Uint8Array(64 << 20);
const backstore: UserBackstore = {
  byteLength: bytes.length,
  read: async (offset, length) => bytes.slice(offset, offset + length),
  write: async (offset, data) => {
    if (Number(writeDelay) > 0) await delay(Number(writeDelay));
    bytes.set(data, offset);
  },
  flush: async () => console.log('durable'),
};
const target = LocalTarget.open([{ name: 'hanging', backstore }]);
const initiator = await BlockInitiator.open(target.connect('test').nexus, 0, target.shard.environment);
new FuseSession(await mountFuse(path, 'hanging', false), initiator, {
  sessionEnded: () => process.exit(0),
});
console.log('mounted');
