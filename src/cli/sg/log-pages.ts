/** Log pages (SPC-4 7.3): their parameters with names where they are known; counters as numbers. */
import { u16, u32, u64 } from '../../scsi/bytes.ts';
import { code, type Decoded, hex, text, type Value } from './decoded.ts';

interface LogDecoder {
  readonly name: string;
  /** Names of parameter codes. */
  readonly parameters?: Readonly<Record<number, string>>;
  /** For parameters that are structures. */
  readonly decode?: (parameter: number, value: Uint8Array) => Decoded | undefined;
}

const ERROR_COUNTERS = {
  0: 'errors_corrected_without_delay',
  1: 'errors_corrected_with_delay',
  2: 'total_rewrites_or_rereads',
  3: 'total_errors_corrected',
  4: 'total_times_correction_algorithm_processed',
  5: 'total_bytes_processed',
  6: 'total_uncorrected_errors',
};

/** By page and subpage. */
const LOG_PAGES: Readonly<Record<string, LogDecoder>> = {
  '02': { name: 'Write Error Counter', parameters: ERROR_COUNTERS },
  '03': { name: 'Read Error Counter', parameters: ERROR_COUNTERS },
  '05': { name: 'Verify Error Counter', parameters: ERROR_COUNTERS },
  '0c': {
    name: 'Logical Block Provisioning',
    parameters: { 1: 'available_lba_mapping_resource_count', 2: 'used_lba_mapping_resource_count' },
    decode: (_parameter, value) => ({ count: u32(value, 0), scope: value[4] & 0x03 }),
  },
  '0d': {
    name: 'Temperature',
    parameters: { 0: 'temperature', 1: 'reference_temperature' },
    decode: (_parameter, value) => ({ celsius: value[1] === 0xff ? 'not available' : value[1] }),
  },
  '0e': {
    name: 'Start-Stop Cycle Counter',
    parameters: {
      1: 'date_of_manufacture',
      2: 'accounting_date',
      3: 'specified_cycle_count_over_device_lifetime',
      4: 'accumulated_start_stop_cycles',
      5: 'specified_load_unload_count_over_device_lifetime',
      6: 'accumulated_load_unload_cycles',
    },
  },
  '10': { name: 'Self-Test Results', decode: decodeSelfTest },
  '19': {
    name: 'General Statistics and Performance',
    parameters: { 1: 'statistics_and_performance', 2: 'idle_time', 3: 'time_interval' },
    decode: decodeStatistics,
  },
  '19/20': {
    name: 'Cache Memory Statistics',
    parameters: {
      1: 'read_cache_memory_hits',
      2: 'reads_to_read_cache_memory',
      3: 'write_cache_memory_hits',
    },
  },
  '2f': {
    name: 'Informational Exceptions',
    parameters: { 0: 'general' },
    decode: (_parameter, value) => ({
      additional_sense_code: code(value[0]),
      additional_sense_code_qualifier: code(value[1]),
      most_recent_temperature: value[2] === 0xff ? 'not available' : value[2],
    }),
  },
};

const HEADER = 4;
const PARAMETER_HEADER = 4;
const SPF = 0x40;
const SUPPORTED_PAGES = 0x00;
const ALL_SUBPAGES = 0xff;

export interface LogPageId {
  readonly page: number;
  readonly subpage: number;
}

/** The pages that a Supported Log Pages page (with subpages or without) lists. */
export function supportedLogPages(bytes: Uint8Array): LogPageId[] {
  const body = bytes.subarray(HEADER, HEADER + u16(bytes, 2));
  if ((bytes[0] & SPF) === 0) return [...body].map((page) => ({ page, subpage: 0 }));
  const pages: LogPageId[] = [];
  for (let at = 0; at + 2 <= body.length; at += 2)
    pages.push({ page: body[at] & 0x3f, subpage: body[at + 1] });
  return pages;
}

export function decodeLogPage(bytes: Uint8Array): Decoded {
  const page = bytes[0] & 0x3f;
  const subpage = (bytes[0] & SPF) !== 0 ? bytes[1] : 0;
  if (page === SUPPORTED_PAGES || subpage === ALL_SUBPAGES) {
    const pages = supportedLogPages(bytes).map((id) =>
      `0x${nameOf(id)} ${LOG_PAGES[nameOf(id)]?.name ?? ''}`.trim(),
    );
    return { page_code: code(page), page_name: 'Supported Log Pages', pages };
  }
  const decoder = LOG_PAGES[nameOf({ page, subpage })];
  return {
    page_code: code(page),
    ...(subpage === 0 ? {} : { subpage_code: code(subpage) }),
    page_name: decoder?.name ?? 'unknown',
    parameters: decodeParameters(bytes.subarray(HEADER, HEADER + u16(bytes, 2)), decoder),
  };
}

function nameOf({ page, subpage }: LogPageId): string {
  const digits = (value: number) => value.toString(16).padStart(2, '0');
  return digits(page) + (subpage === 0 ? '' : `/${digits(subpage)}`);
}

function decodeParameters(body: Uint8Array, decoder: LogDecoder | undefined): Decoded {
  const parameters: Record<string, Value> = {};
  for (let at = 0; at + PARAMETER_HEADER <= body.length; at += PARAMETER_HEADER + body[at + 3]) {
    const parameter = u16(body, at);
    const value = body.subarray(at + PARAMETER_HEADER, at + PARAMETER_HEADER + body[at + 3]);
    const name = decoder?.parameters?.[parameter] ?? `parameter_${parameter}`;
    const decoded = decoder?.decode === undefined ? counter(value) : decoder.decode(parameter, value);
    if (decoded !== undefined) parameters[name] = decoded;
  }
  return parameters;
}

function counter(value: Uint8Array): Value {
  if (value.length === 8) return u64(value, 0);
  if (value.length === 4) return u32(value, 0);
  return /^[\x20-\x7e]*$/.test(Buffer.from(value).toString('latin1'))
    ? text(value, 0, value.length)
    : hex(value);
}

const SELF_TEST_RESULTS = ['completed without error', 'aborted by command', 'aborted by reset'];
const IN_PROGRESS = 0xf;

/** One of twenty; those that never ran are all zeroes, and left out. */
function decodeSelfTest(_parameter: number, value: Uint8Array): Decoded | undefined {
  if (value.every((byte) => byte === 0)) return undefined;
  const result = value[0] & 0x0f;
  return {
    self_test_code: value[0] >> 5,
    self_test_result:
      result === IN_PROGRESS ? 'in progress' : (SELF_TEST_RESULTS[result] ?? `failed (${result})`),
    accumulated_power_on_hours: u16(value, 2),
  };
}

const STATISTICS = [
  'number_of_read_commands',
  'number_of_write_commands',
  'number_of_logical_blocks_received',
  'number_of_logical_blocks_transmitted',
  'read_command_processing_intervals',
  'write_command_processing_intervals',
  'weighted_number_of_read_commands_plus_write_commands',
  'weighted_read_command_processing_plus_write_command_processing',
];

function decodeStatistics(parameter: number, value: Uint8Array): Decoded {
  switch (parameter) {
    case 1:
      return Object.fromEntries(STATISTICS.map((name, i) => [name, u64(value, 8 * i)]));
    case 2:
      return { intervals: u64(value, 0) };
    default:
      return { exponent: u32(value, 0), integer: u32(value, 4) };
  }
}
