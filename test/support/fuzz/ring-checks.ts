/** What has to hold after a hostile ring: who wrote what, what the log tells of, what was taken and used. */
import { readFileSync } from 'node:fs';
import {
  PackedEntry,
  PackedRegion,
  SplitEntry,
  SplitRegion,
} from '../../../src/fabrics/vhost-user/inflight-spec.ts';
import { PackedVringBase } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import type { FrontEnd } from '../vhost-user/front-end.ts';
import type { HostileIommu } from './hostile-iommu.ts';
import { type HostileRing, MEMORY, PARTS } from './hostile-ring.ts';

const PAGE = 4096;
export const CANARY = 0xa5;
/** The log's file: canaries, the log, canaries. */
export const LOG = { offset: PAGE, full: MEMORY / PAGE / 8, file: 3 * PAGE } as const;

/** Whether the device may write a byte, and as what. */
const Given = { NOT: 0, BUFFER: 1, RING: 2 } as const;

/** One guest with one ring. */
export interface HostileRound {
  readonly frontEnd: FrontEnd;
  readonly ring: HostileRing;
  readonly index: number;
  readonly kickFd: number;
  readonly callFd: number;
  readonly logFd: number;
  /** Bytes of log; 0: none. */
  readonly logLength: number;
  iommu: HostileIommu | undefined;
  /** Nothing happened that keeps pages out of the log by right. */
  logHolds: boolean;
  /** Where the device marks writes to the used ring, and whether that is where it is. */
  ringIsLogged: boolean;
  /** The in-flight buffer, if there is one; rubbish in it makes the device take what nobody offered. */
  inflightFd: number | undefined;
  inflightQueues: number;
  countsHold: boolean;
  /** The used ring's index when the ring was handed over. */
  usedBefore: number;
  /** What the device answered when it stopped the ring. */
  base: number | undefined;
}

/** Hears what went wrong. */
type Complain = (what: string) => void;

/** Whether a byte was written that was not given to the device, or in a page that no log tells of. */
export function checkMemory(round: HostileRound, complain: Complain): void {
  const { ring, logFd, logLength } = round;
  const given = new Uint8Array(MEMORY);
  mark(given, round, ring.given, Given.BUFFER);
  // The ring's own parts come last: their pages are logged where SET_VRING_ADDR says.
  mark(given, round, ring.parts, Given.RING);
  const file = readFileSync(`/proc/self/fd/${logFd}`);
  const isLogged = round.logHolds && logLength >= LOG.full;
  for (let page = 0; page < MEMORY / PAGE; page++) {
    const isMarked = (file[LOG.offset + (page >> 3)] & (1 << (page & 7))) !== 0;
    const written = writtenIn(ring, page);
    const stray = written.find((at) => given[at] === Given.NOT);
    if (stray !== undefined)
      complain(`byte 0x${stray.toString(16)} became ${ring.bytes[stray]}, which nobody gave away`);
    else if (!isLogged || isMarked) continue;
    else if (written.some((at) => given[at] === Given.BUFFER || round.ringIsLogged))
      complain(`page ${page} was written and is not in the log`);
    else continue;
    return;
  }
  for (const [at, length] of besideLog(round)) {
    if (file.subarray(at, at + length).some((byte) => byte !== CANARY))
      complain(`something was logged beside a log of ${logLength} bytes`);
  }
}

/** Addresses in a page that the device wrote. */
function writtenIn({ bytes, shadow }: HostileRing, page: number): number[] {
  const start = page * PAGE;
  const end = start + PAGE;
  if (Buffer.compare(bytes.subarray(start, end), shadow.subarray(start, end)) === 0) return [];
  return Array.from({ length: PAGE }, (_, i) => start + i).filter((at) => bytes[at] !== shadow[at]);
}

/** A ring that has stopped has used each chain that it took, once, and tracks none. */
export function checkUsed(round: HostileRound, base: number, complain: Complain): void {
  const { ring, usedBefore, inflightFd, inflightQueues, index } = round;
  // What is read into the ring itself may say anything.
  if (ring.given.some(([address]) => address < PARTS.buffers)) return;
  if (ring.packed) {
    const taken = base & 0xffff;
    const used = base >>> 16;
    const { place, wrap } = ring.collectUsed();
    const seen = place | (wrap ? PackedVringBase.AVAIL_WRAP : 0);
    if (taken !== used) complain(`it took chains up to ${taken} and used them up to ${used}`);
    if (ring.orderly && seen !== used) complain(`it used chains up to ${used}, and the driver saw ${seen}`);
  } else {
    // A tracked ring goes on from the used ring's index, whatever SET_VRING_BASE said. The buffer may be for fewer rings.
    const tracked = inflightFd !== undefined && index < inflightQueues;
    const taken = tracked ? (base - usedBefore) & 0xffff : base;
    const used = (ring.usedIndex - usedBefore) & 0xffff;
    if (taken !== used) complain(`it took ${taken} chains and used ${used}`);
  }
  if (inflightFd === undefined) return;
  const entry = ring.packed ? PackedEntry.LENGTH : SplitEntry.LENGTH;
  const start = ring.packed ? PackedRegion.ENTRIES : SplitRegion.ENTRIES;
  const file = readFileSync(`/proc/self/fd/${inflightFd}`);
  const stride = file.length / inflightQueues;
  const region = file.subarray(index * stride, (index + 1) * stride);
  // Zeroes follow the last entry.
  for (let at = start; at < region.length; at += entry) {
    if (region[at] !== 0) complain(`in-flight entry at byte ${at} is still set`);
  }
}

function mark(
  given: Uint8Array,
  { iommu }: HostileRound,
  ranges: Iterable<[number, number]>,
  mark: number,
): void {
  for (const range of ranges) {
    for (const [address, length] of iommu?.reach(...range) ?? [range]) {
      if (address < MEMORY) given.fill(mark, address, Math.min(MEMORY, address + length));
    }
  }
}

/** What of the log's file is not log, as [offset, bytes]. */
export function besideLog({ logLength }: Pick<HostileRound, 'logLength'>): [number, number][] {
  const end = LOG.offset + logLength;
  return [
    [0, LOG.offset],
    [end, LOG.file - end],
  ];
}
