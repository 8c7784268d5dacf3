/** Sense data in words: `ILLEGAL REQUEST, INVALID FIELD IN CDB (5/24/00), CDB byte 2`. */
import { u16, u32, u64 } from '../../scsi/bytes.ts';
import { Sense, SenseKey } from '../../scsi/sense-spec.ts';

interface SenseParts {
  readonly key: number;
  /** Additional sense code and qualifier. */
  readonly code: number;
  readonly information: number | undefined;
  /** The three sense key specific bytes, when valid. */
  readonly specific: Uint8Array | undefined;
}

/** SKSV and the bits behind it (SPC-4 4.5.2.4.2). */
const VALID = 0x80;
const IN_CDB = 0x40;
const BIT_VALID = 0x08;
const DESCRIPTOR_FORMAT = 0x72;
const DescriptorType = { INFORMATION: 0x00, SENSE_KEY_SPECIFIC: 0x02 } as const;

export function describeSense(sense: Uint8Array): string {
  const parts = (sense[0] & 0x7f) >= DESCRIPTOR_FORMAT ? fromDescriptors(sense) : fromFixed(sense);
  const { key, code, information } = parts;
  const digits = (value: number) => value.toString(16).padStart(2, '0');
  const words = [
    nameOf(SenseKey, (value) => value === key) ?? `sense key ${key}`,
    nameOf(Sense, (value) => value.key === key && value.code === code) ?? 'additional sense code',
  ];
  const pointer = parts.specific === undefined ? '' : fieldPointer(key, parts.specific);
  return (
    `${words.join(', ')} (${key.toString(16)}/${digits(code >> 8)}/${digits(code & 0xff)})` +
    `${pointer}${information === undefined ? '' : `, information ${information}`}`
  );
}

function nameOf<T>(names: Readonly<Record<string, T>>, matches: (value: T) => boolean): string | undefined {
  return Object.entries(names)
    .find(([, value]) => matches(value))?.[0]
    .replaceAll('_', ' ');
}

function fromFixed(sense: Uint8Array): SenseParts {
  return {
    key: sense[2] & 0x0f,
    code: u16(sense, 12),
    information: (sense[0] & VALID) !== 0 ? u32(sense, 3) : undefined,
    specific: (sense[15] & VALID) !== 0 ? sense.subarray(15, 18) : undefined,
  };
}

function fromDescriptors(sense: Uint8Array): SenseParts {
  const found = new Map<number, Uint8Array>();
  for (let at = 8; at + 2 <= sense.length; at += 2 + sense[at + 1]) {
    found.set(sense[at], sense.subarray(at, at + 2 + sense[at + 1]));
  }
  const information = found.get(DescriptorType.INFORMATION);
  return {
    key: sense[1] & 0x0f,
    code: u16(sense, 2),
    information: information === undefined ? undefined : u64(information, 4),
    specific: found.get(DescriptorType.SENSE_KEY_SPECIFIC)?.subarray(4, 7),
  };
}

function fieldPointer(key: number, specific: Uint8Array): string {
  if (key === SenseKey.ILLEGAL_REQUEST) {
    const bit = (specific[0] & BIT_VALID) !== 0 ? ` bit ${specific[0] & 0x07}` : '';
    return `, ${(specific[0] & IN_CDB) !== 0 ? 'CDB' : 'parameter list'} byte ${u16(specific, 1)}${bit}`;
  }
  if (key === SenseKey.NOT_READY || key === SenseKey.NO_SENSE) {
    return `, ${((100 * u16(specific, 1)) / 65536).toFixed(1)} % done`;
  }
  return '';
}
