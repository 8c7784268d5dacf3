import test from 'ava';
import fc from 'fast-check';
import * as message from '../../../src/fabrics/vhost-user/message.ts';
import { ProtocolError } from '../../../src/fabrics/vhost-user/protocol-error.ts';
import { MessageFlags, Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { ByteBuilder } from '../../support/vhost-user/byte-builder.ts';
import * as build from '../../support/vhost-user/messages.ts';

const region = { guestAddress: 0x1_0000_0000, size: 0x4000, userAddress: 0x7f00_0000_0000, mmapOffset: 4096 };
const regionBytes = { ...region, length: region.size, fd: -1 };

const parsed: readonly [string, unknown, unknown][] = [
  [
    'a header',
    message.parseHeader(build.message(Request.SET_FEATURES, build.u64(1)).subarray(0, 12)),
    {
      request: Request.SET_FEATURES,
      flags: MessageFlags.VERSION,
      size: 8,
    },
  ],
  ['a u64 with all bits', message.parseU64(build.u64(2n ** 64n - 1n)), 2n ** 64n - 1n],
  ['a vring state', message.parseVringState(build.vringState(3, 256)), { index: 3, value: 256 }],
  ['a vring descriptor', message.parseVringFd(build.vringFd(7, true)), { index: 7, withFd: true }],
  ['a vring without descriptor', message.parseVringFd(build.vringFd(7, false)), { index: 7, withFd: false }],
  [
    'vring addresses, ignoring the log address while nothing is logged',
    message.parseVringAddress(
      build.vringAddress({ index: 1, descriptor: 16, used: 32, available: 48, log: -1n }),
    ),
    { index: 1, descriptor: 16, used: 32, available: 48, logged: false, log: 0 },
  ],
  [
    'logged vring addresses',
    message.parseVringAddress(
      build.vringAddress({ index: 1, flags: 1, descriptor: 16, used: 32, available: 48, log: 0x5000 }),
    ),
    { index: 1, descriptor: 16, used: 32, available: 48, logged: true, log: 0x5000 },
  ],
  [
    'a memory table',
    message.parseMemoryTable(build.memoryTable([regionBytes, regionBytes])),
    [region, region],
  ],
  ['a single region', message.parseSingleRegion(build.singleRegion(regionBytes)), region],
  ['a log description', message.parseLog(build.logBase(4096, 512)), { size: 4096, offset: 512 }],
  [
    'an inflight description of 24 bytes, as front-ends send it',
    message.parseInflight(build.inflight(8192, 0, 3, 128)),
    { mmapSize: 8192, mmapOffset: 0, queues: 3, queueSize: 128 },
  ],
  [
    'an inflight description of 20 bytes, as the specification has it',
    message.parseInflight(build.inflight(8192, 0, 3, 128).subarray(0, 20)),
    { mmapSize: 8192, mmapOffset: 0, queues: 3, queueSize: 128 },
  ],
  [
    'an IOTLB message',
    message.parseIotlb(build.iotlb(0x1000, 0x2000, 0x3000, 3, 2)),
    { iova: 0x1000, size: 0x2000, userAddress: 0x3000, permission: 3, type: 2 },
  ],
  [
    'a configuration access',
    message.parseConfig(build.config(20, 4, 1, Uint8Array.of(1, 2, 3, 4))),
    { offset: 20, size: 4, flags: 1, data: Uint8Array.of(1, 2, 3, 4) },
  ],
];

for (const [what, actual, expected] of parsed) {
  test(`${what} is parsed`, (t) => {
    t.deepEqual(actual, expected);
  });
}

const HIGH = 2n ** 53n;
const refused: readonly [string, () => unknown][] = [
  ['a header of another version', () => message.parseHeader(build.message(1, build.EMPTY, 2))],
  ['a payload of a gigabyte', () => message.parseHeader(build.message(1, build.EMPTY, 1, 2 ** 30))],
  ['a u64 of seven bytes', () => message.parseU64(new Uint8Array(7))],
  ['a vring state with a byte too many', () => message.parseVringState(new Uint8Array(9))],
  ['a vring descriptor with unknown flags', () => message.parseVringFd(build.u64(0x200))],
  [
    'a ring address that no Number holds',
    () =>
      message.parseVringAddress(build.vringAddress({ index: 0, descriptor: HIGH, used: 0, available: 0 })),
  ],
  [
    'nine regions in one table',
    () => message.parseMemoryTable(build.memoryTable(Array(9).fill(regionBytes))),
  ],
  ['more regions announced than sent', () => message.parseMemoryTable(build.memoryTable([regionBytes], 2))],
  [
    'a region of 2^53 bytes',
    () => message.parseSingleRegion(new ByteBuilder().u64(0, 0, HIGH, 0, 0).build()),
  ],
  ['an inflight description of 22 bytes', () => message.parseInflight(new Uint8Array(22))],
  ['a configuration access past the end', () => message.parseConfig(build.config(250, 8))],
  ['a configuration access that overflows', () => message.parseConfig(build.config(0xffff_ffff, 1))],
  [
    'a configuration access with too little data',
    () => message.parseConfig(build.config(0, 8, 0, new Uint8Array(4))),
  ],
];

for (const [what, parse] of refused) {
  test(`${what} is refused`, (t) => {
    t.throws(parse, { instanceOf: ProtocolError });
  });
}

const parsers = Object.entries(message).filter(([name]) => name.startsWith('parse')) as [
  string,
  (payload: Uint8Array) => unknown,
][];

for (const [name, parse] of parsers) {
  test(`${name} takes any bytes, and throws nothing but a ProtocolError`, (t) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(8), (bytes, offset) => {
        // A view into a larger buffer: a parser that forgets its offset reads its neighbours.
        const around = new Uint8Array(offset + bytes.length + 8).fill(0xa5);
        around.set(bytes, offset);
        const payload = around.subarray(offset, offset + bytes.length);
        try {
          t.deepEqual(parse(payload), parse(bytes));
        } catch (error) {
          t.true(error instanceof ProtocolError, String(error));
        }
      }),
      { numRuns: 300 },
    );
  });
}

test('what is serialised is parsed back', (t) => {
  const bytes = message.serialise(
    Request.GET_VRING_BASE,
    MessageFlags.REPLY,
    message.vringStatePayload(2, 77),
  );
  const { request, flags, size } = message.parseHeader(bytes.subarray(0, 12));
  t.is(request, Request.GET_VRING_BASE);
  t.is(flags, MessageFlags.VERSION | MessageFlags.REPLY);
  t.is(size, 8);
  t.deepEqual(message.parseVringState(bytes.subarray(12)), { index: 2, value: 77 });
  const inflight = { mmapSize: 4096, mmapOffset: 0, queues: 2, queueSize: 64 };
  t.deepEqual(message.parseInflight(message.inflightPayload(inflight, 24)), inflight);
  const iotlb = { iova: 1, size: 2, userAddress: 3, permission: 1, type: 1 };
  t.deepEqual(message.parseIotlb(message.iotlbPayload(iotlb)), iotlb);
  const config = message.parseConfig(message.configPayload(4, 0, Uint8Array.of(9)));
  t.deepEqual(config, { offset: 4, size: 1, flags: 0, data: Uint8Array.of(9) });
});
