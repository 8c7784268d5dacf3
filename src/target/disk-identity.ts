/**
 * Names for a disk that stay the same over restarts and on every path, derived from its serial number; and the
 * serial number, derived from where the disk lies unless the user gave one.
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Identity } from '../scsi/identity.ts';
import type { DiskSpec } from './disk-spec.ts';

const VENDOR = 'LUNPORT';
const REVISION = '0001';

/** NAA 6h (IEEE Registered Extended) with LIO's company id 001405h, so that both ends keep their habits. */
const NAA_PREFIX = Uint8Array.of(0x60, 0x01, 0x40, 0x50);

/** 32 hexadecimal digits from any text. */
export function deriveSerial(origin: string): string {
  return createHash('sha256').update(`lunport disk ${origin}`).digest('hex').slice(0, 32);
}

/** As guests show it: `naa.…`. */
export function naaText({ naa }: Identity): string {
  return `naa.${Buffer.from(naa).toString('hex')}`;
}

/** The serial number that was given to the disk, or that of its file; undefined for memory, which has no place. */
export function diskSerial({
  serial,
  kind,
  name,
}: Pick<DiskSpec, 'serial' | 'kind' | 'name'>): string | undefined {
  return serial ?? (kind === 'file' ? deriveSerial(resolve(name)) : undefined);
}

export function diskIdentity(serial: string, product: string): Identity {
  const naa = new Uint8Array(16);
  naa.set(NAA_PREFIX);
  naa.set(createHash('sha256').update(`lunport naa ${serial}`).digest().subarray(0, 12), 4);
  return { vendor: VENDOR, product: product.slice(0, 16), revision: REVISION, serial, naa };
}

/** The names that were given to the disk, when some were: with the designators of VPD page 83h that LIO has. */
export function givenIdentity({ identity }: DiskSpec, serial: string): Identity | undefined {
  if (identity === undefined) return undefined;
  const { naa, ...names } = identity;
  return {
    ...names,
    serial,
    naa: Buffer.from(naa.slice('naa.'.length), 'hex'),
    vendorSpecific: `${names.product}:${serial}`,
    nameString: false,
  };
}

/** `naa.5…` (NAA IEEE Registered), for ports; from any text. */
export function deriveWwn(origin: string): string {
  return `naa.5001405${createHash('sha256').update(`lunport port ${origin}`).digest('hex').slice(0, 9)}`;
}

/** TransportID of a SAS port (SPC-4 7.6.4.6), which carries the 8-byte NAA of `wwn`. */
export function sasTransportId(wwn: string): Uint8Array {
  const id = new Uint8Array(24);
  id[0] = 0x06;
  const digits = wwn.replace(/^naa\./, '');
  for (let i = 0; i < 8; i++) id[4 + i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return id;
}
