/** What one event loop has to tell. Counters are read here; on the way of a READ they are typed arrays. */
import { Counter } from '../../scsi/statistics.ts';
import { naaText } from '../disk-identity.ts';
import type { ServedDisk } from '../served-disk.ts';
import type { ServedTarget } from '../served-target.ts';
import type { Server } from '../server.ts';
import type { FamilyName, Sample } from './families.ts';

const COUNTERS: readonly (readonly [FamilyName, Counter])[] = [
  ['lunport_lun_reads_total', Counter.READ_COMMANDS],
  ['lunport_lun_writes_total', Counter.WRITE_COMMANDS],
  ['lunport_lun_read_bytes_total', Counter.READ_BYTES],
  ['lunport_lun_written_bytes_total', Counter.WRITE_BYTES],
  ['lunport_lun_verified_bytes_total', Counter.VERIFY_BYTES],
  ['lunport_lun_read_errors_total', Counter.READ_ERRORS],
  ['lunport_lun_write_errors_total', Counter.WRITE_ERRORS],
  ['lunport_lun_verify_errors_total', Counter.VERIFY_ERRORS],
];

export function serverSamples({ targets, iscsi }: Server): Sample[] {
  const samples = targets.flatMap(targetSamples);
  if (iscsi === undefined) return samples;
  return [
    ...samples,
    { name: 'lunport_iscsi_protocol_errors_total', labels: {}, value: iscsi.protocolErrors },
  ];
}

function targetSamples(target: ServedTarget): Sample[] {
  const name = target.sockets[0].path;
  return [
    ...[...target.disks].flatMap(([lun, disk]) => lunSamples(name, lun, disk)),
    ...[...target.absent.keys()].map(
      (lun): Sample => ({
        name: 'lunport_lun_absent',
        labels: { target: name, lun: String(lun) },
        value: 1,
      }),
    ),
    { name: 'lunport_target_initiators', labels: { target: name }, value: target.nexuses().length },
    ...target.vhostUser.flatMap(({ state }) => {
      const labels = { socket: state.socketPath };
      const { frontEnd } = state;
      const values: readonly (readonly [FamilyName, number])[] = [
        ['lunport_vhost_user_connected', frontEnd === undefined ? 0 : 1],
        ['lunport_vhost_user_broken', frontEnd?.broken === undefined ? 0 : 1],
        ['lunport_vhost_user_connections_total', state.connects],
        ['lunport_vhost_user_protocol_errors_total', state.protocolErrors],
      ];
      return values.map(([family, value]): Sample => ({ name: family, labels, value }));
    }),
  ];
}

function lunSamples(target: string, lun: number, { unit, backstore }: ServedDisk): Sample[] {
  const labels = { target, lun: String(lun), naa: naaText(unit.identity) };
  const { counts } = unit.statistics;
  const { registrations } = unit.reservations.persistent;
  return [
    ...COUNTERS.map(([name, counter]): Sample => ({ name, labels, value: counts[counter] })),
    { name: 'lunport_lun_size_bytes', labels, value: backstore.byteLength },
    { name: 'lunport_lun_registrations', labels, value: registrations.size },
  ];
}
