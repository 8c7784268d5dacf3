/** Names that LIO derives for a storage object, so that a disk keeps them when it moves here. */
import type { GivenIdentity } from '../disk-spec.ts';
import type { StorageObject } from './saveconfig-spec.ts';

const VENDOR = 'LIO-ORG';
const REVISION = '4.0';
/** IEEE company id of LIO's NAA designators. */
const COMPANY = '001405';
/** Of an NAA IEEE Registered Extended designator: 36 bits of vendor specific identifier, 64 of its extension. */
const SERIAL_DIGITS = 25;
/** PRODUCT IDENTIFICATION without `emulate_model_alias`. */
const MODELS: Readonly<Record<string, string>> = {
  fileio: 'FILEIO',
  block: 'IBLOCK',
  ramdisk: 'RAMDISK-MCP',
};

/** `serial`: the unit serial number, which LIO calls `wwn`. Its hexadecimal digits, others left out, make the NAA. */
export function lioIdentity({ name, plugin, attributes }: StorageObject, serial: string): GivenIdentity {
  const digits = serial.toLowerCase().replace(/[^0-9a-f]/g, '');
  const naa = `naa.6${COMPANY}${digits.slice(0, SERIAL_DIGITS).padEnd(SERIAL_DIGITS, '0')}`;
  const product = attributes.emulate_model_alias === 0 ? (MODELS[plugin] ?? 'FILEIO') : name;
  return {
    vendor: VENDOR,
    product: product.replace(/[^\x20-\x7e]/g, '?').slice(0, 16),
    revision: REVISION,
    naa,
  };
}
