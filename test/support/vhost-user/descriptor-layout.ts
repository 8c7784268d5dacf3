/**
 * How a driver may cut the bytes of a request into descriptors. Virtio 1.2 2.7.4.2 leaves it free ("message
 * framing"), and guests differ: Linux gives header and data one each, Windows and firmware join or split them.
 */
import type { BufferElement } from './driver-ring.ts';

/** From the bytes of the header and of the data that follows it to the lengths of the descriptors. */
export type Layout = (header: number, data: number) => number[];

export const LAYOUTS = {
  /** Header, then data: Linux. */
  separate: (header, data) => [header, data],
  /** One descriptor for both. */
  joined: (header, data) => [header + data],
  /** The header in three pieces, none of them at the end of a field. */
  headerSplit: (header, data) => [3, header - 8, 5, data],
  /** The last byte of the header shares a descriptor with the data. */
  overlapping: (header, data) => [header - 1, 1 + data],
  /** The data in pieces of 512 bytes. */
  pages: (header, data) => [header, ...pieces(data, 512)],
  /** One byte each. */
  singleBytes: (header, data) => pieces(header + data, 1),
} satisfies Record<string, Layout>;

function pieces(length: number, size: number): number[] {
  const full = new Array<number>(Math.floor(length / size)).fill(size);
  return length % size === 0 ? full : [...full, length % size];
}

/** Cuts contiguous memory from `address` on; empty descriptors are left out. */
export function cut(address: number, lengths: readonly number[], writable: boolean): BufferElement[] {
  const elements: BufferElement[] = [];
  for (const length of lengths) {
    if (length > 0) elements.push({ address, length, writable });
    address += length;
  }
  return elements;
}
