/**
 * A program for hanging-file.ts: mounts a disk in memory as the file whose path is given, by FUSE, says "mounted",
 * and serves it until it is killed.
 */
import { mountFuse } from '../../src/fabrics/fuse/fuse-mount.ts';
import { FuseSession } from '../../src/fabrics/fuse/fuse-session.ts';
import { BlockInitiator } from '../../src/fabrics/loopback/block-initiator.ts';
import { LocalTarget } from '../../src/target/local-target.ts';

const [, , path] = process.argv;
const target = LocalTarget.open(['ram:64M']);
const initiator = await BlockInitiator.open(target.connect('test').nexus, 0, target.shard.environment);
new FuseSession(await mountFuse(path, 'hanging', false), initiator, {
  sessionEnded: () => process.exit(0),
});
console.log('mounted');
