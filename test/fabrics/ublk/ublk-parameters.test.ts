import test from 'ava';
import { BlockInitiator } from '../../../src/fabrics/loopback/block-initiator.ts';
import { decodeParameters, encodeParameters } from '../../../src/fabrics/ublk/ublk-parameters.ts';
import { Attribute, Parameters } from '../../../src/fabrics/ublk/ublk-spec.ts';
import { LocalTarget } from '../../../src/target/local-target.ts';

const MAXIMUM = 512 << 10;
const { READ_ONLY, VOLATILE_CACHE, FUA } = Attribute;

const rows: [disk: string, blockSize: number, bytes: number, attributes: number, discard: boolean][] = [
  ['ram:1M', 512, 1 << 20, 0, true],
  ['ram:1M,block-size=4096', 4096, 1 << 20, 0, true],
  ['ram:1M,ro', 512, 1 << 20, READ_ONLY, false],
  ['null:8T', 512, 2 ** 43, 0, true],
];
for (const [disk, blockSize, byteLength, attributes, discard] of rows) {
  test(`the driver is told what ${disk} is`, async (t) => {
    const target = LocalTarget.open([disk]);
    t.teardown(() => target.close());
    const { nexus } = target.connect('host');
    const { geometry } = await BlockInitiator.open(nexus, 0, target.shard.environment);
    const view = new DataView(new ArrayBuffer(Parameters.SIZE));
    encodeParameters(view, geometry, MAXIMUM);
    t.deepEqual(decodeParameters(view), { blockSize, byteLength });
    t.is(view.getUint32(Parameters.ATTRIBUTES, true) & ~(VOLATILE_CACHE | FUA), attributes);
    t.is(view.getUint32(Parameters.MAX_SECTORS, true), MAXIMUM / 512);
    t.is(view.getUint32(Parameters.MAX_DISCARD_SECTORS, true) > 0, discard);
    t.true(view.getUint32(Parameters.DISCARD_GRANULARITY, true) >= blockSize);
  });
}
