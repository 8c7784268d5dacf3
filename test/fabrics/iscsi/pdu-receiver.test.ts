import test from 'ava';
import fc from 'fast-check';
import { crc32c } from '../../../src/fabrics/iscsi/crc32c.ts';
import type { Pdu } from '../../../src/fabrics/iscsi/pdu.ts';
import { PduReceiver, type PduReceiverLimits } from '../../../src/fabrics/iscsi/pdu-receiver.ts';
import { IscsiProtocolError } from '../../../src/fabrics/iscsi/protocol-error.ts';

const LIMITS = { maxDataLength: 65536, headerDigest: false, dataDigest: false };

/** What a receiver with these limits makes of `bytes`, given to it in pieces. `direct`: data go where it wants them. */
function received(
  limits: PduReceiverLimits,
  bytes: Uint8Array,
  cuts: readonly number[] = [],
  direct = false,
): Pdu[] {
  const pdus: Pdu[] = [];
  const receiver = new PduReceiver(limits, {
    deliver: (pdu) => pdus.push(pdu.copy()),
    place: (pdu) => {
      if (!direct) return;
      pdu.bytes = new Uint8Array(pdu.dataLength + 7);
      pdu.dataAt = 7;
    },
  });
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const end = Math.min(bytes.length, at + (cuts[i] ?? bytes.length));
    const count = direct ? Math.min(receiver.wanted, end - at) : 0;
    if (count > 0) receiver.target.set(bytes.subarray(at, at + count), receiver.targetAt);
    receiver.arrived(count);
    receiver.feed(bytes, at + count, end);
    at = end;
  }
  return pdus;
}

function digest(bytes: Uint8Array): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(crc32c(bytes));
  return out;
}

/** A PDU on the wire, with padding and the digests asked for. */
function wire(data: Uint8Array, ahs: Uint8Array, digests: boolean): Buffer {
  const header = Buffer.alloc(48);
  header[4] = ahs.length / 4;
  header.writeUIntBE(data.length, 5, 3);
  const head = Buffer.concat([header, ahs]);
  const body = Buffer.concat([data, Buffer.alloc(-data.length & 3)]);
  if (!digests) return Buffer.concat([head, body]);
  return Buffer.concat([head, digest(head), body, data.length > 0 ? digest(body) : Buffer.alloc(0)]);
}

test('PDUs come out whole however the stream is cut', (t) => {
  const pdu = fc.record({
    data: fc.uint8Array({ maxLength: 300 }),
    ahsWords: fc.integer({ min: 0, max: 8 }),
  });
  fc.assert(
    fc.property(
      fc.array(pdu, { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 97 })),
      fc.boolean(),
      fc.boolean(),
      (pdus, cuts, digests, direct) => {
        const stream = Buffer.concat(
          pdus.map(({ data, ahsWords }) => wire(data, new Uint8Array(4 * ahsWords).fill(7), digests)),
        );
        const limits = { ...LIMITS, headerDigest: digests, dataDigest: digests };
        const all = received(limits, stream, cuts, direct);
        if (!all.every(({ dataIntact }) => dataIntact)) return false;
        const seen = all.map(({ data, additional }) => ({ data: [...data], ahs: additional.length }));
        const expected = pdus.map(({ data, ahsWords }) => ({ data: [...data], ahs: 4 * ahsWords }));
        return JSON.stringify(seen) === JSON.stringify(expected);
      },
    ),
  );
  t.pass();
});

test('any bytes give PDUs, a request for more, or an IscsiProtocolError', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, digests) => {
      try {
        received({ ...LIMITS, headerDigest: digests, dataDigest: digests }, bytes);
        return true;
      } catch (error) {
        return error instanceof IscsiProtocolError;
      }
    }),
  );
  t.pass();
});

test('a data segment longer than agreed is refused by its header alone', (t) => {
  const bytes = wire(new Uint8Array(101), new Uint8Array(0), false).subarray(0, 48);
  t.throws(() => received({ ...LIMITS, maxDataLength: 100 }, bytes), {
    instanceOf: IscsiProtocolError,
    message: /101 bytes/,
  });
});

test('a header digest that does not match ends the stream', (t) => {
  const bytes = wire(new Uint8Array(0), new Uint8Array(0), true);
  bytes[20] ^= 1;
  t.throws(() => received({ ...LIMITS, headerDigest: true }, bytes), { instanceOf: IscsiProtocolError });
});

for (const cuts of [[], [53, 1]]) {
  test(`a data digest that does not match is told apart, in ${cuts.length + 1} pieces`, (t) => {
    const bytes = wire(Uint8Array.of(1, 2, 3), new Uint8Array(0), true);
    bytes[53] ^= 1;
    t.false(received({ ...LIMITS, headerDigest: true, dataDigest: true }, bytes, cuts, true)[0].dataIntact);
  });
}

test('data whose place was taken away goes nowhere', (t) => {
  const place = new Uint8Array(8);
  let delivered: Pdu | undefined;
  const receiver = new PduReceiver(LIMITS, {
    deliver: (pdu) => {
      delivered = pdu.copy();
    },
    place: (pdu) => {
      pdu.bytes = place;
    },
  });
  const bytes = wire(new Uint8Array(8).fill(9), new Uint8Array(0), false);
  receiver.feed(bytes, 0, 52);
  receiver.detach(place);
  receiver.feed(bytes, 52, 56);
  t.deepEqual([...place], [9, 9, 9, 9, 0, 0, 0, 0]);
  t.is(delivered?.dataLength, 8);
});
