/** The metrics that there are: names as Prometheus has them, base units, one line of help each. */

interface Family {
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly labels: readonly string[];
}

const LUN = ['target', 'lun', 'naa'];
const SOCKET = ['socket'];
const counter = (help: string, labels: readonly string[]): Family => ({ type: 'counter', help, labels });
const gauge = (help: string, labels: readonly string[]): Family => ({ type: 'gauge', help, labels });

export const FAMILIES = {
  lunport_lun_reads_total: counter('READ commands that have moved their data.', LUN),
  lunport_lun_writes_total: counter('WRITE commands that have moved their data.', LUN),
  lunport_lun_read_bytes_total: counter('Bytes read, by whatever command.', LUN),
  lunport_lun_written_bytes_total: counter('Bytes written, by whatever command.', LUN),
  lunport_lun_verified_bytes_total: counter('Bytes read to verify them.', LUN),
  lunport_lun_read_errors_total: counter('Reads that the backstore has failed.', LUN),
  lunport_lun_write_errors_total: counter('Writes and flushes that the backstore has failed.', LUN),
  lunport_lun_verify_errors_total: counter('Reads to verify that the backstore has failed.', LUN),
  lunport_lun_size_bytes: gauge('Size of the disk.', LUN),
  lunport_lun_registrations: gauge('Registrations for persistent reservations.', LUN),
  lunport_lun_absent: gauge('1 for a LUN of the configuration whose disk cannot be had.', ['target', 'lun']),
  lunport_target_initiators: gauge('Initiators that have the target, guests that are away included.', [
    'target',
  ]),
  lunport_vhost_user_connected: gauge('1 while a front-end is connected.', SOCKET),
  lunport_vhost_user_broken: gauge(
    '1 while a device does nothing, since its driver broke the protocol.',
    SOCKET,
  ),
  lunport_vhost_user_connections_total: counter('Front-ends that have connected.', SOCKET),
  lunport_vhost_user_protocol_errors_total: counter(
    'Connections that ended because the front-end broke the protocol.',
    SOCKET,
  ),
  lunport_iscsi_protocol_errors_total: counter(
    'Connections that ended because the initiator broke the protocol.',
    [],
  ),
  lunport_build_info: gauge('1, with the version.', ['version']),
  process_cpu_seconds_total: counter('CPU time of the process.', []),
  process_resident_memory_bytes: gauge('Resident memory of the process.', []),
  process_open_fds: gauge('Open file descriptors of the process.', []),
  process_start_time_seconds: gauge('When the process was started, since 1970.', []),
} satisfies Readonly<Record<string, Family>>;

export type FamilyName = keyof typeof FAMILIES;

/** Plain data, as it comes from a shard. */
export interface Sample {
  readonly name: FamilyName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
