/** MODE SENSE(10) data: the header, and the mode pages (SPC-4 7.5, SBC-3 6.4). */
import { u16 } from '../../scsi/bytes.ts';
import { bits, code, type Decoded, decodeFields, type Field, hex, number } from './decoded.ts';

interface ModeDecoder {
  readonly name: string;
  readonly acronym: string;
  readonly fields: readonly Field[];
}

const ERROR_RECOVERY = [
  bits('awre', 2, 7),
  bits('arre', 2, 6),
  bits('tb', 2, 5),
  bits('rc', 2, 4),
  bits('per', 2, 2),
  bits('dte', 2, 1),
  bits('dcr', 2, 0),
  number('read_retry_count', 3),
  number('write_retry_count', 8),
  number('recovery_time_limit_ms', 10, 16),
];

const CACHING = [
  bits('ic', 2, 7),
  bits('abpf', 2, 6),
  bits('cap', 2, 5),
  bits('disc', 2, 4),
  bits('size', 2, 3),
  bits('wce', 2, 2),
  bits('mf', 2, 1),
  bits('rcd', 2, 0),
  number('disable_prefetch_transfer_length', 4, 16),
  number('minimum_prefetch', 6, 16),
  number('maximum_prefetch', 8, 16),
  number('maximum_prefetch_ceiling', 10, 16),
  bits('fsw', 12, 7),
  bits('lbcss', 12, 6),
  bits('dra', 12, 5),
  bits('nv_dis', 12, 0),
  number('number_of_cache_segments', 13),
  number('cache_segment_size', 14, 16),
];

const CONTROL = [
  bits('tst', 2, 5, 3),
  bits('tmf_only', 2, 4),
  bits('dpicz', 2, 3),
  bits('d_sense', 2, 2),
  bits('gltsd', 2, 1),
  bits('rlec', 2, 0),
  bits('queue_algorithm_modifier', 3, 4, 4),
  bits('nuar', 3, 3),
  bits('qerr', 3, 1, 2),
  bits('rac', 4, 6),
  bits('ua_intlck_ctrl', 4, 4, 2),
  bits('swp', 4, 3),
  bits('ato', 5, 7),
  bits('tas', 5, 6),
  bits('atmpe', 5, 5),
  bits('rwwp', 5, 4),
  bits('autoload_mode', 5, 0, 3),
  number('busy_timeout_period', 8, 16),
  number('extended_self_test_completion_time', 10, 16),
];

const CONTROL_EXTENSION = [
  bits('tcmos', 4, 2),
  bits('scsip', 4, 1),
  bits('ialuae', 4, 0),
  bits('initial_command_priority', 5, 0, 4),
  number('maximum_sense_data_length', 6),
];

const POWER_CONDITION = [
  bits('pm_bg_precedence', 2, 6, 2),
  bits('standby_y', 2, 0),
  bits('idle_c', 3, 3),
  bits('idle_b', 3, 2),
  bits('idle_a', 3, 1),
  bits('standby_z', 3, 0),
  number('idle_a_condition_timer', 4, 32),
  number('standby_z_condition_timer', 8, 32),
  number('idle_b_condition_timer', 12, 32),
  number('idle_c_condition_timer', 16, 32),
  number('standby_y_condition_timer', 20, 32),
];

const EXCEPTIONS = [
  bits('perf', 2, 7),
  bits('ebf', 2, 5),
  bits('ewasc', 2, 4),
  bits('dexcpt', 2, 3),
  bits('test', 2, 2),
  bits('ebackerr', 2, 1),
  bits('logerr', 2, 0),
  bits('mrie', 3, 0, 4),
  number('interval_timer', 4, 32),
  number('report_count', 8, 32),
];

const FORMAT_DEVICE = [
  number('tracks_per_zone', 2, 16),
  number('sectors_per_track', 10, 16),
  number('data_bytes_per_physical_sector', 12, 16),
  number('interleave', 14, 16),
  bits('ssec', 20, 7),
  bits('hsec', 20, 6),
];

const GEOMETRY = [number('number_of_cylinders', 2, 24), number('number_of_heads', 5)];

const PROVISIONING = [
  bits('situa', 4, 0),
  bits('first_enabled', 16, 7),
  number('first_threshold_resource', 17, 8),
  number('first_threshold_count', 20, 32),
  bits('second_enabled', 24, 7),
  number('second_threshold_resource', 25, 8),
  number('second_threshold_count', 28, 32),
];

/** By page and subpage: `0a`, `0a/01`. */
export const MODE_PAGES: Readonly<Record<string, ModeDecoder>> = {
  '01': { name: 'Read-Write Error Recovery', acronym: 'rw', fields: ERROR_RECOVERY },
  '03': { name: 'Format Device', acronym: 'fo', fields: FORMAT_DEVICE },
  '04': { name: 'Rigid Disk Geometry', acronym: 'rd', fields: GEOMETRY },
  '08': { name: 'Caching', acronym: 'ca', fields: CACHING },
  '0a': { name: 'Control', acronym: 'co', fields: CONTROL },
  '0a/01': { name: 'Control Extension', acronym: 'coe', fields: CONTROL_EXTENSION },
  '1a': { name: 'Power Condition', acronym: 'po', fields: POWER_CONDITION },
  '1c': { name: 'Informational Exceptions Control', acronym: 'ie', fields: EXCEPTIONS },
  '1c/02': { name: 'Logical Block Provisioning', acronym: 'lbp', fields: PROVISIONING },
};

const HEADER = 8;
const HEADER_FIELDS = [bits('wp', 3, 7), bits('dpofua', 3, 4)];
const PS = 0x80;
const SPF = 0x40;

/** The answer to MODE SENSE(10). */
export function decodeModeData(data: Uint8Array): Decoded {
  const pages: Decoded[] = [];
  let at = HEADER + u16(data, 6);
  while (at + 4 <= data.length) {
    const long = (data[at] & SPF) !== 0;
    const end = at + (long ? 4 + u16(data, at + 2) : 2 + data[at + 1]);
    if (end > data.length) break;
    pages.push(decodeModePage(data.subarray(at, end)));
    at = end;
  }
  return { ...decodeFields(data, HEADER_FIELDS), pages };
}

function decodeModePage(page: Uint8Array): Decoded {
  const long = (page[0] & SPF) !== 0;
  const digits = (value: number) => value.toString(16).padStart(2, '0');
  const key = digits(page[0] & 0x3f) + (long ? `/${digits(page[1])}` : '');
  const decoder = MODE_PAGES[key];
  return {
    page_code: code(page[0] & 0x3f),
    ...(long ? { subpage_code: code(page[1]) } : {}),
    page_name: decoder?.name ?? 'unknown',
    ps: (page[0] & PS) !== 0 ? 1 : 0,
    ...(decoder === undefined ? { bytes: hex(page) } : decodeFields(page, decoder.fields)),
  };
}
