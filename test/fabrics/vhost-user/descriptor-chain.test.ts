import test from 'ava';
import { DescriptorChain } from '../../../src/fabrics/vhost-user/descriptor-chain.ts';
import { VirtqueueError } from '../../../src/fabrics/vhost-user/protocol-error.ts';

/** A descriptor of `length` bytes at address 4096. */
const descriptor = (length: number) => Uint32Array.of(4096, 0, length, 0);

test('empty buffers are left out, and still count as work: a ring of them must not keep others waiting', (t) => {
  const chain = new DescriptorChain(2);
  for (let i = 0; i < 1000; i++) chain.append(descriptor(0), 0, false);
  chain.append(descriptor(8), 0, false);
  t.is(chain.count, 1);
  t.is(chain.bytes, 1001 * 16 + 8);
});

test('more buffers than the chain has room for are the driver’s mistake', (t) => {
  const chain = new DescriptorChain(2);
  chain.append(descriptor(1), 0, false);
  chain.append(descriptor(1), 0, true);
  t.throws(() => chain.append(descriptor(1), 0, true), { instanceOf: VirtqueueError });
});
