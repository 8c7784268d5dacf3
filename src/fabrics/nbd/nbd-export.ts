/**
 * A disk under an NBD export name: one I_T nexus for everybody who uses it, since NBD clients have no names to
 * tell them apart, and several connections are one client's as a rule.
 */

import type { Environment } from '../../scsi/environment.ts';
import type { Nexus } from '../../scsi/nexus.ts';
import { BlockInitiator } from '../loopback/block-initiator.ts';
import { MAX_PAYLOAD, TransmissionFlag } from './nbd-spec.ts';

export interface NbdExportOptions {
  readonly name: string;
  readonly description: string;
  readonly nexus: Nexus;
  readonly lun: number;
}

/** What NBD_INFO_BLOCK_SIZE tells, bytes. */
export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

const USUAL_PREFERRED = 4096;

export class NbdExport {
  readonly name: string;
  readonly description: string;
  readonly device: BlockInitiator;

  private constructor(options: NbdExportOptions, device: BlockInitiator) {
    this.name = options.name;
    this.description = options.description;
    this.device = device;
  }

  /** Throws UnusableUnitError. */
  static async open(options: NbdExportOptions, environment: Environment): Promise<NbdExport> {
    return new NbdExport(options, await BlockInitiator.open(options.nexus, options.lun, environment));
  }

  get blockSizes(): BlockSizes {
    const { blockSize, physicalBlockSize } = this.device.geometry;
    return {
      minimum: blockSize,
      preferred: Math.max(physicalBlockSize, USUAL_PREFERRED),
      maximum: MAX_PAYLOAD,
    };
  }

  /** `structured`: the connection has structured or extended replies, without which DF means nothing. */
  transmissionFlags(structured: boolean): number {
    const { readOnly, unmap } = this.device.geometry;
    // Every connection uses the same nexus and the same cache, so a flush on one is a flush of all.
    let flags =
      TransmissionFlag.HAS_FLAGS |
      TransmissionFlag.SEND_FLUSH |
      TransmissionFlag.SEND_FUA |
      TransmissionFlag.SEND_CACHE |
      TransmissionFlag.CAN_MULTI_CONN;
    if (structured) flags |= TransmissionFlag.SEND_DF;
    if (readOnly) return flags | TransmissionFlag.READ_ONLY;
    flags |= TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO;
    return unmap ? flags | TransmissionFlag.SEND_TRIM : flags;
  }
}
