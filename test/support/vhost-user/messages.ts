/**
 * The bytes of every vhost-user message a front-end sends, one function per payload, in the order of the fields
 * in the specification ("Vhost-user Protocol", docs/interop/vhost-user.rst of QEMU, section "Message
 * Specification"). Nothing is checked: hostile tests pass what they like.
 */
import { MessageFlags, VringFd } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { ByteBuilder } from './byte-builder.ts';
import type { GuestRegion } from './guest-memory.ts';

/** "Header": u32 request, u32 flags, u32 size. `size` defaults to the payload's length, as it should be. */
export function message(
  request: number,
  payload: Uint8Array,
  flags: number = MessageFlags.VERSION,
  size = payload.length,
): Uint8Array {
  return new ByteBuilder().u32(request, flags, size).raw(payload).build();
}

export const EMPTY: Uint8Array = new Uint8Array(0);

/** "A single 64-bit integer". */
export function u64(value: number | bigint): Uint8Array {
  return new ByteBuilder().u64(value).build();
}

/** "A vring state description": u32 index, u32 num. */
export function vringState(index: number, value: number): Uint8Array {
  return new ByteBuilder().u32(index, value).build();
}

export interface VringAddresses {
  readonly index: number;
  readonly flags?: number;
  /** The front-end's own addresses. */
  readonly descriptor: number | bigint;
  readonly used: number | bigint;
  readonly available: number | bigint;
  /** Guest-physical address of the used ring's log. */
  readonly log?: number | bigint;
}

/** "A vring address description": u32 index, u32 flags, u64 descriptor, u64 used, u64 available, u64 log. */
export function vringAddress(ring: VringAddresses): Uint8Array {
  return new ByteBuilder()
    .u32(ring.index, ring.flags ?? 0)
    .u64(ring.descriptor, ring.used, ring.available, ring.log ?? 0)
    .build();
}

/** SET_VRING_KICK, _CALL, _ERR: u64, bits 0-7 the ring, bit 8 "no file descriptor". */
export function vringFd(index: number, withFd: boolean): Uint8Array {
  return u64(withFd ? index : index | VringFd.NO_FD);
}

/** What a message says of a region; its file goes along. */
export type RegionFields = Omit<GuestRegion, 'fd'>;

/** "Memory region description": u64 guest address, u64 size, u64 user address, u64 mmap offset. */
function region(builder: ByteBuilder, { guestAddress, length, userAddress, mmapOffset }: RegionFields) {
  return builder.u64(guestAddress, length, userAddress, mmapOffset);
}

/** "Multiple memory regions description": u32 number of regions, u32 padding, regions. */
export function memoryTable(regions: readonly RegionFields[], count = regions.length): Uint8Array {
  const builder = new ByteBuilder().u32(count, 0);
  for (const each of regions) region(builder, each);
  return builder.build();
}

/** "Single memory region description": u64 padding, region. */
export function singleRegion(each: RegionFields): Uint8Array {
  return region(new ByteBuilder().u64(0), each).build();
}

/** "Log description": u64 log size, u64 log offset. */
export function logBase(size: number, offset: number): Uint8Array {
  return new ByteBuilder().u64(size, offset).build();
}

/** "Virtio device config space": u32 offset, u32 size, u32 flags, payload. */
export function config(offset: number, size: number, flags = 0, payload = new Uint8Array(size)): Uint8Array {
  return new ByteBuilder().u32(offset, size, flags).raw(payload).build();
}

/**
 * "Inflight description": u64 mmap size, u64 mmap offset, u16 num queues, u16 queue size; front-ends send the
 * C structure, padded to 24 bytes.
 */
export function inflight(size: number, offset: number, queues: number, queueSize: number): Uint8Array {
  return new ByteBuilder().u64(size, offset).u16(queues, queueSize).u32(0).build();
}

/** "An IOTLB message": u64 iova, u64 size, u64 user address, u8 permission flags, u8 type, padded to 32 bytes. */
export function iotlb(
  iova: number,
  size: number,
  userAddress: number,
  permission: number,
  type: number,
): Uint8Array {
  return new ByteBuilder().u64(iova, size, userAddress).u8(permission, type).zeroes(6).build();
}
