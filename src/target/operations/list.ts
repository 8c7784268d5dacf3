/** `list`: everything that is served, and who uses it. */

import { z } from 'zod';
import type { Nexus } from '../../scsi/nexus.ts';
import type { PersistentReservation } from '../../scsi/reservations/persistent-state.ts';
import type { Reservations } from '../../scsi/reservations.ts';
import { naaText } from '../disk-identity.ts';
import type { ServedDisk } from '../served-disk.ts';
import { initiatorName, type ServedTarget } from '../served-target.ts';
import type { Server } from '../server.ts';
import { type Json, type JsonObject, operation, Scope } from './operation.ts';

export const list = operation({
  description: 'Targets with their LUNs, fabrics and sessions.',
  schema: z.strictObject({}),
  scope: Scope.ALL,
  async run(server: Server) {
    return { targets: server.targets.map((target) => describeTarget(server, target)) };
  },
  merge: (results) => ({ targets: results.flatMap(({ targets }) => targets) }),
});

function describeTarget({ iscsi, nbd }: Server, target: ServedTarget): JsonObject {
  return {
    sockets: target.sockets.map((socket) => ({
      path: socket.path,
      role: socket.role,
      initiator: initiatorName(socket),
    })),
    device: target.device,
    name: target.name,
    luns: target.luns().map((lun) => describeDisk(lun, target.disks.get(lun)!)),
    absent: [...target.absent].map(([lun, { spec, reason }]) => ({ lun, disk: spec.text, reason })),
    // Trees of strings, numbers and booleans.
    vhostUser: target.vhostUser.map(({ state }) => state as unknown as Json),
    iscsi: iscsi?.nameOf(target) ?? null,
    nbd: nbd === undefined ? [] : nbd.urisOf(target),
    nexuses: target.nexuses().map(describeNexus),
  };
}

/** A LUN as `list`, `add` and `resize` answer it. */
export function describeDisk(lun: number, { unit, backstore, spec }: ServedDisk): JsonObject {
  const { kind, path = null, size, readOnly, cache = null, io } = backstore.describe();
  return {
    lun,
    disk: spec.text,
    kind,
    path,
    size,
    readOnly,
    cache,
    io,
    blockSize: unit.blockSize,
    blocks: unit.blockCount,
    serial: unit.identity.serial,
    naa: naaText(unit.identity),
    reservation: describeReservation(unit.reservations),
  };
}

function describeReservation({ held, persistent, isReserved }: Reservations): Json {
  const { registrations, reservation, lost } = persistent;
  if (!held && registrations.size === 0) return null;
  return {
    reserve: isReserved,
    lost,
    registrations: [...registrations.values()].map(({ transportId, relativePort, key }) => ({
      transportId,
      relativePort,
      key,
    })),
    persistent: reservation === undefined ? null : describePersistent(reservation),
  };
}

function describePersistent({ type, holder }: PersistentReservation): Json {
  return { type, holder: holder ?? null };
}

function describeNexus({ initiatorPort, targetPort }: Nexus): Json {
  return { initiator: initiatorPort.name, targetPort: targetPort.name, relativePort: targetPort.relativeId };
}
