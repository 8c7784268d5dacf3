/** From the addresses of SET_VRING_ADDR to views of the ring's parts. */
import type { Region, RegionMemory } from '../../native/memory.ts';
import type { RingAddresses } from './message.ts';
import { EventSuppression, PackedDescriptor } from './packed-virtqueue-spec.ts';
import { VirtqueueError } from './protocol-error.ts';
import {
  AvailableRing,
  Descriptor,
  MAX_QUEUE_SIZE,
  RingAlignment,
  UsedRing,
} from './split-virtqueue-spec.ts';

/** Finds the memory of a ring's part; undefined unless all of it lies in one region. */
export interface RingSpace {
  locateRing(address: number, length: number): { region: Region; offset: number } | undefined;
  /** Guest-physical address of a byte of a mapping. */
  guestAddress(region: number, offset: number): number;
}

export interface SplitRingViews {
  readonly descriptors: Uint32Array;
  readonly available: Uint16Array;
  readonly used: Uint16Array;
  readonly usedEntries: Uint32Array;
}

/** Throws a VirtqueueError: sizes and addresses are the guest's. */
export function splitRingViews(
  memory: RegionMemory,
  space: RingSpace,
  ring: RingAddresses,
  size: number,
): SplitRingViews {
  checkSize(size);
  if ((size & (size - 1)) !== 0) throw new VirtqueueError(`ring of ${size} entries, expected a power of 2`);
  const availableLength = AvailableRing.RING + AvailableRing.ENTRY_BYTES * size + AvailableRing.EVENT_BYTES;
  const usedEntriesLength = UsedRing.RING + UsedRing.ENTRY_BYTES * size;
  const usedLength = usedEntriesLength + UsedRing.EVENT_BYTES;
  const descriptorLength = Descriptor.BYTES * size;
  const descriptors = part(space, ring.descriptor, descriptorLength, RingAlignment.DESCRIPTOR);
  const available = part(space, ring.available, availableLength, RingAlignment.AVAILABLE);
  const used = part(space, ring.used, usedLength, RingAlignment.USED);
  return {
    descriptors: memory.u32(descriptors.region, descriptors.offset, descriptorLength / 4),
    available: memory.u16(available.region, available.offset, availableLength / 2),
    used: memory.u16(used.region, used.offset, usedLength / 2),
    usedEntries: memory.u32(used.region, used.offset, usedEntriesLength / 4),
  };
}

export interface PackedRingViews {
  readonly descriptors: Uint32Array;
  readonly descriptorHalves: Uint16Array;
  readonly driverEvent: Uint32Array;
  readonly deviceEvent: Uint32Array;
  /** Of the descriptor ring, guest-physical. */
  readonly guestAddress: number;
}

/** In SET_VRING_ADDR, the driver's event suppression has the avail ring's place and the device's the used ring's. */
export function packedRingViews(
  memory: RegionMemory,
  space: RingSpace,
  ring: RingAddresses,
  size: number,
): PackedRingViews {
  checkSize(size);
  const length = PackedDescriptor.BYTES * size;
  const { region, offset } = part(space, ring.descriptor, length, RingAlignment.DESCRIPTOR);
  const driver = part(space, ring.available, EventSuppression.BYTES, EventSuppression.BYTES);
  const device = part(space, ring.used, EventSuppression.BYTES, EventSuppression.BYTES);
  return {
    descriptors: memory.u32(region, offset, length / 4),
    descriptorHalves: memory.u16(region, offset, length / 2),
    driverEvent: memory.u32(driver.region, driver.offset, 1),
    deviceEvent: memory.u32(device.region, device.offset, 1),
    guestAddress: space.guestAddress(region.id, offset),
  };
}

function checkSize(size: number): void {
  if (size < 1 || size > MAX_QUEUE_SIZE) {
    throw new VirtqueueError(`ring of ${size} entries, expected 1 to ${MAX_QUEUE_SIZE}`);
  }
}

function part(
  space: RingSpace,
  address: number,
  length: number,
  alignment: number,
): { region: Region; offset: number } {
  const location = space.locateRing(address, length);
  const shown = `ring part at 0x${address.toString(16)}`;
  if (location === undefined) throw new VirtqueueError(`${shown} is not in the shared memory`);
  if (location.offset % alignment !== 0)
    throw new VirtqueueError(`${shown} is not aligned to ${alignment} bytes`);
  return location;
}
