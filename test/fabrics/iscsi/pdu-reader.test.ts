import test from 'ava';
import fc from 'fast-check';
import { crc32c } from '../../../src/fabrics/iscsi/crc32c.ts';
import { PduReader } from '../../../src/fabrics/iscsi/pdu-reader.ts';
import { IscsiProtocolError } from '../../../src/fabrics/iscsi/protocol-error.ts';

const LIMITS = { maxDataLength: 65536, headerDigest: false, dataDigest: false };

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
      (pdus, cuts, digests) => {
        const stream = Buffer.concat(
          pdus.map(({ data, ahsWords }) => wire(data, new Uint8Array(4 * ahsWords).fill(7), digests)),
        );
        const reader = new PduReader({ ...LIMITS, headerDigest: digests, dataDigest: digests });
        const seen: { data: number[]; ahs: number }[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i] ?? stream.length;
          reader.push(stream.subarray(at, at + size));
          at += size;
          for (let next = reader.next(); next !== undefined; next = reader.next()) {
            seen.push({ data: [...next.data], ahs: next.additional.length });
            if (!next.dataIntact) return false;
          }
        }
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
      const reader = new PduReader({ ...LIMITS, headerDigest: digests, dataDigest: digests });
      reader.push(Buffer.from(bytes));
      try {
        while (reader.next() !== undefined);
        return true;
      } catch (error) {
        return error instanceof IscsiProtocolError;
      }
    }),
  );
  t.pass();
});

test('a data segment longer than agreed is refused by its header alone', (t) => {
  const reader = new PduReader({ ...LIMITS, maxDataLength: 100 });
  reader.push(wire(new Uint8Array(101), new Uint8Array(0), false).subarray(0, 48));
  t.throws(() => reader.next(), { instanceOf: IscsiProtocolError, message: /101 bytes/ });
});

test('a header digest that does not match ends the stream', (t) => {
  const reader = new PduReader({ ...LIMITS, headerDigest: true });
  const bytes = wire(new Uint8Array(0), new Uint8Array(0), true);
  bytes[20] ^= 1;
  reader.push(bytes);
  t.throws(() => reader.next(), { instanceOf: IscsiProtocolError });
});

test('a data digest that does not match is told apart', (t) => {
  const reader = new PduReader({ ...LIMITS, headerDigest: true, dataDigest: true });
  const bytes = wire(Uint8Array.of(1, 2, 3), new Uint8Array(0), true);
  bytes[53] ^= 1;
  reader.push(bytes);
  t.false(reader.next()!.dataIntact);
});
