/**
 * A program for hanging-file.ts: mounts a disk in memory as the file whose path is given, by FUSE, says "mounted",
 * and serves it until it is killed. Each time that the disk is made durable it says "durable".
 */
import type { UserBackstore } from '../../src/backstores/async-backstore.ts';
import { mountFuse } from '../../src/fabrics/fuse/fuse-mount.ts';
import { FuseSession } from '../../src/fabrics/fuse/fuse-session.ts';
import { BlockInitiator } from '../../src/fabrics/loopback/block-initiator.ts';
import { LocalTarget } from '../../src/target/local-target.ts';

const [, , path] = process.argv;
const bytes = new Uint8Array(64 << 20);
const backstore: UserBackstore = {
  byteLength: bytes.length,
  read: async (offset, length) => bytes.slice(offset, offset + length),
  write: async (offset, data) => bytes.set(data, offset),
  flush: async () => console.log('durable'),
};
const target = LocalTarget.open([{ name: 'hanging', backstore }]);
const initiator = await BlockInitiator.open(target.connect('test').nexus, 0, target.shard.environment);
new FuseSession(await mountFuse(path, 'hanging', false), initiator, {
  sessionEnded: () => process.exit(0),
});
console.log('mounted');
