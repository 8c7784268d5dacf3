/** An iSCSI target as configured: its name, who may come in, and what each of them sees. */
import type { LunMap } from '../../scsi/lun-map.ts';
import type { TargetPort } from '../../scsi/port.ts';
import type { ChapCredentials } from './chap.ts';

export interface AccessControl {
  /** Whether this initiator may log in at all. */
  admits(initiatorName: string): boolean;
  /** What it must prove; undefined: nothing. */
  credentials(initiatorName: string): ChapCredentials | undefined;
}

/** Everybody, without authentication: LIO's demo mode. */
export const OPEN_ACCESS: AccessControl = { admits: () => true, credentials: () => undefined };

export interface IscsiTarget {
  /** `iqn.…`, lower case. */
  readonly name: string;
  readonly alias: string;
  readonly portalGroupTag: number;
  readonly targetPort: TargetPort;
  readonly access: AccessControl;
  /** Whether an initiator may end everybody's sessions (TARGET COLD RESET): not who sees but a part of the target. */
  mayReset(initiatorName: string): boolean;
  /** The LUNs that an initiator sees. */
  lunMap(initiatorName: string): LunMap;
}

/**
 * TransportID of an iSCSI initiator port (SPC-4 7.6.4.8, format 01b): `name,i,0xISID`, null-terminated and
 * padded to a multiple of four bytes.
 */
export function iscsiTransportId(initiatorName: string, isid: string): Uint8Array {
  const text = Buffer.from(`${initiatorName},i,0x${isid}\0`, 'utf8');
  const length = Math.max(20, (text.length + 3) & ~3);
  const id = new Uint8Array(4 + length);
  id[0] = 0x45;
  id[2] = length >> 8;
  id[3] = length;
  id.set(text, 4);
  return id;
}
