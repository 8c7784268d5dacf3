/** Standard INQUIRY data (SPC-4 6.6.2). */
import { u16 } from '../../scsi/bytes.ts';
import { bits, type Decoded, decodeFields, number, text } from './decoded.ts';

const FIELDS = [
  bits('peripheral_qualifier', 0, 5, 3),
  bits('peripheral_device_type', 0, 0, 5),
  bits('rmb', 1, 7),
  bits('lu_cong', 1, 6),
  number('version', 2),
  bits('normaca', 3, 5),
  bits('hisup', 3, 4),
  bits('response_data_format', 3, 0, 4),
  number('additional_length', 4),
  bits('sccs', 5, 7),
  bits('acc', 5, 6),
  bits('tpgs', 5, 4, 2),
  bits('3pc', 5, 3),
  bits('protect', 5, 0),
  bits('encserv', 6, 6),
  bits('multip', 6, 4),
  bits('cmdque', 7, 1),
];

const DESCRIPTORS = { FIRST: 58, COUNT: 8 } as const;

export function decodeInquiry(data: Uint8Array): Decoded {
  const versions: number[] = [];
  for (let i = 0; i < DESCRIPTORS.COUNT; i++) {
    const at = DESCRIPTORS.FIRST + 2 * i;
    if (at + 2 <= data.length && u16(data, at) !== 0) versions.push(u16(data, at));
  }
  return {
    ...decodeFields(data, FIELDS),
    vendor: text(data, 8, 16),
    product: text(data, 16, 32),
    revision: text(data, 32, 36),
    version_descriptors: versions.map((version) => `0x${version.toString(16).padStart(4, '0')}`),
  };
}
