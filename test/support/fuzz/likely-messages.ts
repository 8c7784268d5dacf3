/**
 * Messages of the vhost-user protocol as a front-end would send them: payloads of the right form, whose values come from
 * so few that messages fit together now and then. What is wrong with them, others add.
 */
import { featureSet } from '../../../src/fabrics/vhost-user/feature-set.ts';
import {
  IotlbType,
  ProtocolFeature,
  Request,
  VhostFeature,
} from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { USUAL_FEATURES, USUAL_PROTOCOL_FEATURES } from '../vhost-user/front-end.ts';
import {
  config,
  EMPTY,
  inflight,
  iotlb,
  logBase,
  memoryTable,
  type RegionFields,
  singleRegion,
  u64,
  vringAddress,
  vringFd,
  vringState,
} from '../vhost-user/messages.ts';
import type { Chance } from './chance.ts';

/** Bytes of each region, and of the file behind all of them. */
export const REGION_BYTES = 1 << 16;
const USER_BASE = 0x7000_0000_0000;
const RINGS = 4;
const OPTIONAL_FEATURES = [VirtioFeature.RING_PACKED, VirtioFeature.ACCESS_PLATFORM, VhostFeature.LOG_ALL];
const OPTIONAL_PROTOCOL_FEATURES = [
  ProtocolFeature.CONFIG,
  ProtocolFeature.INBAND_NOTIFICATIONS,
  ProtocolFeature.GPA_ADDRESSES,
];

/** The descriptor that goes with a message. */
export type LikelyDescriptor = 'memory' | 'eventfd' | 'channel' | 'none';

const DESCRIPTORS: ReadonlyMap<number, LikelyDescriptor> = new Map<number, LikelyDescriptor>([
  [Request.ADD_MEM_REG, 'memory'],
  [Request.SET_MEM_TABLE, 'memory'],
  [Request.SET_LOG_BASE, 'memory'],
  [Request.SET_INFLIGHT_FD, 'memory'],
  [Request.SET_LOG_FD, 'eventfd'],
  [Request.SET_VRING_KICK, 'eventfd'],
  [Request.SET_VRING_CALL, 'eventfd'],
  [Request.SET_VRING_ERR, 'eventfd'],
  [Request.SET_BACKEND_REQ_FD, 'channel'],
]);

export class LikelyMessages {
  private readonly chance: Chance;
  /** Mostly the same ring and the same region for some time. */
  private ring = 0;
  private guestAddress = 0;

  constructor(chance: Chance) {
    this.chance = chance;
  }

  descriptor(request: number): LikelyDescriptor {
    return DESCRIPTORS.get(request) ?? 'none';
  }

  payload(request: number): Uint8Array {
    const { chance } = this;
    if (chance.oneIn(15)) this.ring = chance.below(RINGS);
    const index = this.ring;
    switch (request) {
      case Request.SET_FEATURES:
        return u64(this.features());
      case Request.SET_PROTOCOL_FEATURES:
        return u64(this.protocolFeatures());
      case Request.SET_MEM_TABLE:
        return memoryTable([this.region()]);
      case Request.ADD_MEM_REG:
      case Request.REM_MEM_REG:
        return singleRegion(this.region());
      case Request.SET_LOG_BASE:
        return logBase(chance.pick([1, 8, 4096]), chance.pick([0, 0, 4096]));
      case Request.SET_VRING_NUM:
        return vringState(index, chance.pick([1, 2, 8, 128, 256]));
      case Request.SET_VRING_ADDR:
        return vringAddress({
          index,
          flags: chance.below(2),
          descriptor: this.userAddress(),
          available: this.userAddress(),
          used: this.userAddress(),
          log: chance.below(REGION_BYTES),
        });
      case Request.SET_VRING_BASE:
        return vringState(index, chance.pick([0, 0, 1, 0x8000_8000]));
      case Request.GET_VRING_BASE:
      case Request.VRING_KICK:
        return vringState(index, 0);
      case Request.SET_VRING_ENABLE:
        return vringState(index, chance.below(2));
      case Request.SET_VRING_KICK:
      case Request.SET_VRING_CALL:
      case Request.SET_VRING_ERR:
        return vringFd(index, !chance.oneIn(20));
      case Request.IOTLB_MSG: {
        const type = chance.pick([IotlbType.UPDATE, IotlbType.UPDATE, IotlbType.INVALIDATE]);
        const size = chance.pick([4096, REGION_BYTES, 4 * REGION_BYTES]);
        return iotlb(4096 * chance.below(32), size, this.userAddress(), chance.below(4), type);
      }
      case Request.GET_CONFIG:
      case Request.SET_CONFIG:
        return config(chance.below(40), chance.pick([1, 4, 4, 8, 36]), 0);
      case Request.GET_INFLIGHT_FD:
      case Request.SET_INFLIGHT_FD:
        return inflight(chance.pick([0, 4096, REGION_BYTES]), 0, chance.below(5), chance.pick([1, 8, 128]));
      default:
        return EMPTY;
    }
  }

  features(): bigint {
    const { chance } = this;
    const optional = OPTIONAL_FEATURES.filter(() => chance.oneIn(3));
    return USUAL_FEATURES | featureSet(...optional);
  }

  protocolFeatures(): bigint {
    const { chance } = this;
    const optional = OPTIONAL_PROTOCOL_FEATURES.filter(() => chance.oneIn(2));
    const left = chance.oneIn(10) ? 1n << BigInt(chance.below(24)) : 0n;
    return (USUAL_PROTOCOL_FEATURES | featureSet(...optional)) & ~left;
  }

  private region(): RegionFields {
    if (this.chance.oneIn(4)) this.guestAddress = REGION_BYTES * this.chance.below(4);
    const { guestAddress } = this;
    return {
      guestAddress,
      length: REGION_BYTES,
      userAddress: USER_BASE + guestAddress,
      mmapOffset: 0,
    };
  }

  /** With an IOMMU, ring addresses are none of these; IOTLB updates may map them all the same. */
  private userAddress(): number {
    const { chance } = this;
    const base = chance.oneIn(30) ? 0 : USER_BASE;
    const region = chance.oneIn(15) ? REGION_BYTES * chance.below(4) : this.guestAddress;
    return base + region + chance.pick([0, 0x1000, 0x2000, 0x4000, 0xf000]);
  }
}
