/** SCSI ports (SAM-5 4.5): who asks, and where. Both names come from configuration, so they survive a restart. */

/** An initiator port. `name` identifies it for life: registrations and saved state are keyed by it. */
export interface InitiatorPort {
  readonly name: string;
  /** The TransportID of PERSISTENT RESERVE parameters (SPC-4 7.6.4). */
  readonly transportId: Uint8Array;
}

export interface TargetPort {
  /** The target port's name in its protocol: an NAA for vhost, `iqn…,t,0x0001` for iSCSI. */
  readonly name: string;
  /** RELATIVE TARGET PORT IDENTIFIER, 1 to 65535, unique in the target device. */
  readonly relativeId: number;
  /** PROTOCOL IDENTIFIER (SPC-4 table 440): 5 iSCSI, 6 SAS, Fh none. */
  readonly protocol: number;
  /** TPGT of an iSCSI port; absent otherwise. */
  readonly portalGroupTag?: number;
}
