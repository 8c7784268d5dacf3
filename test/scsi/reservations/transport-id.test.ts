import test from 'ava';
import fc from 'fast-check';
import { canonicalTransportId, parseTransportId } from '../../../src/scsi/reservations/transport-id.ts';

/** FORMAT CODE 01b: name, `,i,0x`, ISID; NUL-terminated and padded to a multiple of four. */
function iscsiId(text: string, padding = 0, format = 0x40): Uint8Array {
  const length = Math.max(20, Math.ceil((text.length + 1) / 4) * 4) + padding;
  const id = new Uint8Array(4 + length);
  id[0] = format | 5;
  id[3] = length;
  for (let i = 0; i < text.length; i++) id[4 + i] = text.charCodeAt(i);
  return id;
}

function fixedId(protocol: number, fill: number): Uint8Array {
  return new Uint8Array(24).fill(fill).fill(protocol, 0, 1);
}

const NAME = 'iqn.2026-01.org.example:host,i,0x0123456789ab';

const READABLE: { what: string; id: Uint8Array; length: number }[] = [
  { what: 'Fibre Channel', id: fixedId(0, 1), length: 24 },
  { what: 'parallel SCSI', id: fixedId(1, 1), length: 24 },
  { what: 'IEEE 1394', id: fixedId(3, 1), length: 24 },
  { what: 'RDMA', id: fixedId(4, 1), length: 24 },
  { what: 'iSCSI', id: iscsiId(NAME), length: 52 },
  { what: 'SAS', id: fixedId(6, 1), length: 24 },
];
for (const { what, id, length } of READABLE) {
  test(`a TransportID of ${what} is read, and refused where it is cut short`, (t) => {
    const parsed = parseTransportId(id, 0, id.length)!;
    t.is(parsed.length, length);
    t.is(parsed.protocol, id[0] & 0x0f);
    for (let end = 0; end < id.length; end++) t.is(parseTransportId(id, 0, end), undefined);
  });
}

const UNREADABLE: { what: string; id: Uint8Array }[] = [
  { what: 'an unknown protocol', id: fixedId(0x9, 0) },
  { what: 'a format code that SAS does not have', id: fixedId(0x46, 0) },
  { what: 'an iSCSI node instead of one port', id: iscsiId('iqn.2026-01.org.example:host', 0, 0) },
  { what: 'an iSCSI name without end', id: iscsiId(NAME).fill(0x61, 4) },
  { what: 'an empty iSCSI name', id: iscsiId('') },
  { what: 'a length that is no multiple of four', id: iscsiId(NAME).fill(21, 3, 4) },
  { what: 'a length below the least', id: iscsiId(NAME).fill(16, 3, 4) },
];
for (const { what, id } of UNREADABLE) {
  test(`a TransportID with ${what} is refused`, (t) => {
    t.is(parseTransportId(id, 0, id.length), undefined);
  });
}

test('the same port is the same however its TransportID is written', (t) => {
  const id = canonicalTransportId(iscsiId(NAME));
  t.is(canonicalTransportId(iscsiId(NAME.toUpperCase())), id);
  t.is(canonicalTransportId(iscsiId(NAME, 8)), id);
  t.not(canonicalTransportId(iscsiId(NAME.replace('ab', 'ac'))), id);
  const sas = fixedId(6, 0).fill(1, 4, 12);
  t.is(canonicalTransportId(fixedId(6, 1)), canonicalTransportId(sas));
});

test('a fabric’s TransportID that is none still identifies its port', (t) => {
  t.is(canonicalTransportId(Uint8Array.of(0x1f, 2, 3)), '1f0203');
});

test('whatever the bytes, parsing stays inside them', (t) => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 80 });
  fc.assert(
    fc.property(fc.constantFrom(0x00, 0x04, 0x06, 0x45, 0xff), bytes, fc.nat(20), (protocol, list, at) => {
      list[Math.min(at, list.length - 1)] = protocol;
      const parsed = parseTransportId(list, at, list.length);
      return parsed === undefined || (parsed.length > 0 && at + parsed.length <= list.length);
    }),
  );
  t.pass();
});
