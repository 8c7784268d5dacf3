/** Vital product data pages (SPC-4 7.8, SBC-3 6.6): what each page says, by its code. */
import { u16 } from '../../scsi/bytes.ts';
import { bits, code, type Decoded, decodeFields, type Field, hex, number, text } from './decoded.ts';
import { decodeDesignators, decodePorts } from './designators.ts';

interface VpdDecoder {
  readonly name: string;
  /** sg3-utils' acronym, which `--page` takes. */
  readonly acronym: string;
  /** `page` is the whole page, its length field trusted no further than its bytes go. */
  readonly decode: (page: Uint8Array) => Decoded;
}

const table = (fields: readonly Field[]) => (page: Uint8Array) => decodeFields(page, fields);

const EXTENDED_INQUIRY = [
  bits('activate_microcode', 4, 6, 2),
  bits('spt', 4, 3, 3),
  bits('grd_chk', 4, 2),
  bits('app_chk', 4, 1),
  bits('ref_chk', 4, 0),
  bits('uask_sup', 5, 5),
  bits('group_sup', 5, 4),
  bits('prior_sup', 5, 3),
  bits('headsup', 5, 2),
  bits('ordsup', 5, 1),
  bits('simpsup', 5, 0),
  bits('wu_sup', 6, 3),
  bits('crd_sup', 6, 2),
  bits('nv_sup', 6, 1),
  bits('v_sup', 6, 0),
  bits('p_i_i_sup', 7, 4),
  bits('luiclr', 7, 0),
  bits('r_sup', 8, 4),
  bits('rtd_sup', 8, 3),
  bits('cbcs', 8, 0),
  number('extended_self_test_completion_minutes', 10, 16),
  bits('poa_sup', 12, 7),
  bits('hra_sup', 12, 6),
  bits('vsa_sup', 12, 5),
  number('maximum_supported_sense_data_length', 13),
];

const POWER_CONDITION = [
  bits('standby_y', 4, 1),
  bits('standby_z', 4, 0),
  bits('idle_c', 5, 2),
  bits('idle_b', 5, 1),
  bits('idle_a', 5, 0),
  number('stopped_condition_recovery_time_ms', 6, 16),
  number('standby_z_condition_recovery_time_ms', 8, 16),
  number('standby_y_condition_recovery_time_ms', 10, 16),
  number('idle_a_condition_recovery_time_ms', 12, 16),
  number('idle_b_condition_recovery_time_ms', 14, 16),
  number('idle_c_condition_recovery_time_ms', 16, 16),
];

const BLOCK_LIMITS = [
  bits('wsnz', 4, 0),
  number('maximum_compare_and_write_length', 5),
  number('optimal_transfer_length_granularity', 6, 16),
  number('maximum_transfer_length', 8, 32),
  number('optimal_transfer_length', 12, 32),
  number('maximum_prefetch_length', 16, 32),
  number('maximum_unmap_lba_count', 20, 32),
  number('maximum_unmap_block_descriptor_count', 24, 32),
  number('optimal_unmap_granularity', 28, 32),
  bits('ugavalid', 32, 7),
  number('maximum_write_same_length', 36, 64),
  number('maximum_atomic_transfer_length', 44, 32),
  number('atomic_alignment', 48, 32),
  number('atomic_transfer_length_granularity', 52, 32),
  number('maximum_atomic_transfer_length_with_atomic_boundary', 56, 32),
  number('maximum_atomic_boundary_size', 60, 32),
];
const UNMAP_ALIGNMENT = 32;

const CHARACTERISTICS = [
  number('medium_rotation_rate', 4, 16),
  number('product_type', 6),
  bits('wabereq', 7, 6, 2),
  bits('wacereq', 7, 4, 2),
  bits('nominal_form_factor', 7, 0, 4),
  bits('zoned', 8, 4, 2),
  bits('fuab', 8, 1),
  bits('vbuls', 8, 0),
];

const REFERRALS = [number('user_data_segment_size', 8, 32), number('user_data_segment_multiplier', 12, 32)];

const PROVISIONING = [
  number('threshold_exponent', 4),
  bits('lbpu', 5, 7),
  bits('lbpws', 5, 6),
  bits('lbpws10', 5, 5),
  bits('lbprz', 5, 2, 3),
  bits('anc_sup', 5, 1),
  bits('dp', 5, 0),
  bits('provisioning_type', 6, 0, 3),
  number('threshold_percentage', 7),
];

export const VPD_PAGES: Readonly<Record<number, VpdDecoder>> = {
  0: {
    name: 'Supported VPD Pages',
    acronym: 'sv',
    decode: (page) => ({
      pages: [...page.subarray(4)].map((value) => `${code(value)} ${nameOf(value)}`.trim()),
    }),
  },
  128: {
    name: 'Unit Serial Number',
    acronym: 'sn',
    decode: (page) => ({ unit_serial_number: text(page, 4, page.length) }),
  },
  131: {
    name: 'Device Identification',
    acronym: 'di',
    decode: (page) => ({ designators: decodeDesignators(page.subarray(4)) }),
  },
  134: { name: 'Extended INQUIRY Data', acronym: 'ei', decode: table(EXTENDED_INQUIRY) },
  135: { name: 'Mode Page Policy', acronym: 'mpp', decode: decodePolicies },
  136: { name: 'SCSI Ports', acronym: 'sp', decode: (page) => ({ ports: decodePorts(page) }) },
  138: { name: 'Power Condition', acronym: 'pc', decode: table(POWER_CONDITION) },
  143: { name: 'Third-party Copy', acronym: 'tpc', decode: decodeThirdPartyCopy },
  176: { name: 'Block Limits', acronym: 'bl', decode: decodeBlockLimits },
  177: { name: 'Block Device Characteristics', acronym: 'bdc', decode: table(CHARACTERISTICS) },
  178: { name: 'Logical Block Provisioning', acronym: 'lbpv', decode: table(PROVISIONING) },
  179: { name: 'Referrals', acronym: 'ref', decode: table(REFERRALS) },
};

function nameOf(page: number): string {
  return VPD_PAGES[page]?.name ?? '';
}

/** A page in its own words; one that is not known as its bytes. */
export function decodeVpdPage(bytes: Uint8Array): Decoded {
  const page = bytes.subarray(0, 4 + u16(bytes, 2));
  const decoder = VPD_PAGES[bytes[1]];
  return {
    page_code: code(bytes[1]),
    page_name: decoder?.name ?? 'unknown',
    ...(decoder?.decode(page) ?? { bytes: hex(page.subarray(4)) }),
  };
}

function decodeBlockLimits(page: Uint8Array): Decoded {
  const limits = decodeFields(page, BLOCK_LIMITS);
  if (page.length < UNMAP_ALIGNMENT + 4) return limits;
  const [alignment] = Object.values(
    decodeFields(page, [number('alignment', UNMAP_ALIGNMENT, 32)]),
  ) as number[];
  return { ...limits, unmap_granularity_alignment: alignment % 0x8000_0000 };
}

function decodePolicies(page: Uint8Array): Decoded {
  const policies: Decoded[] = [];
  for (let at = 4; at + 4 <= page.length; at += 4) {
    policies.push(
      decodeFields(page.subarray(at, at + 4), [
        bits('page', 0, 0, 6),
        number('subpage', 1),
        bits('mlus', 2, 7),
        bits('policy', 2, 0, 2),
      ]),
    );
  }
  return { policies };
}

function decodeThirdPartyCopy(page: Uint8Array): Decoded {
  const descriptors: Decoded[] = [];
  for (let at = 4; at + 4 <= page.length; at += 4 + u16(page, at + 2)) {
    const body = page.subarray(at + 4, at + 4 + u16(page, at + 2));
    descriptors.push({ type: `0x${u16(page, at).toString(16).padStart(4, '0')}`, bytes: hex(body) });
  }
  return { descriptors };
}
