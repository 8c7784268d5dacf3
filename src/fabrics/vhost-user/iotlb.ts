/**
 * The IOTLB ("Vhost-user Protocol", section "IOMMU support"): what the guest's IOMMU lets the device reach. The
 * front-end fills it, at our request; it is a cache, of which anything may be forgotten at any time.
 *
 * An address that is not there makes `translate` throw TRANSLATION_MISS after the front-end was asked. Only where
 * nobody can be asked, or the front-end has answered that there is nothing, is it an address outside of memory.
 */
import type { Region } from '../../native/memory.ts';
import { SegmentList } from '../../scsi/segment-list.ts';
import type { AddressSpace } from './address-space.ts';
import { DescriptorChain } from './descriptor-chain.ts';
import type { MemoryTable } from './memory-table.ts';
import type { IotlbDescription } from './message.ts';
import { ProtocolError } from './protocol-error.ts';
import { TRANSLATION_MISS } from './translation-miss.ts';
import { IotlbPermission } from './vhost-user-spec.ts';

/** A front-end that sends more loses the oldest. */
const MAX_ENTRIES = 65536;
/** Each ring waits for one answer; more are of a guest that changes what it has made available. */
const MAX_ASKED = 1024;

interface Entry {
  readonly start: number;
  readonly end: number;
  readonly permission: number;
  readonly region: Region;
  /** IOVA to offset in the region's mapping: add this. */
  readonly delta: number;
}

export interface IotlbOwner {
  /** Asks the front-end for a translation; false when there is no way to. */
  askForTranslation(iova: number, permission: number): boolean;
  /** Whether it answers each question after it has sent what it knows. */
  answersQuestions(): boolean;
}

export class Iotlb implements AddressSpace {
  private readonly table: MemoryTable;
  private readonly owner: IotlbOwner;
  /** Sorted by start, without overlaps. */
  private readonly entries: Entry[] = [];
  private last = 0;
  /** Asked for and not answered yet, in the order of asking. */
  private asked: number[] = [];
  /** Asked for, and the answer was that there is nothing. */
  private readonly denied = new Set<number>();
  private readonly ringSegments = new SegmentList(4);
  private readonly ringBuffer = new DescriptorChain(1);

  constructor(table: MemoryTable, owner: IotlbOwner) {
    this.table = table;
    this.owner = owner;
  }

  /** IOTLB_MSG, type UPDATE. */
  update({ iova, size, userAddress, permission }: IotlbDescription): void {
    if (size === 0) throw new ProtocolError('IOTLB update of no bytes');
    this.invalidate(iova, size);
    const added: Entry[] = [];
    for (let done = 0; done < size; ) {
      const found = this.table.findUser(userAddress + done);
      if (found === undefined) {
        throw new ProtocolError(
          `IOTLB update to 0x${(userAddress + done).toString(16)}, outside of the shared memory`,
        );
      }
      const part = Math.min(size - done, found.length);
      const start = iova + done;
      added.push({ start, end: start + part, permission, region: found.region, delta: found.offset - start });
      done += part;
    }
    this.entries.splice(this.placeOf(iova), 0, ...added);
    if (this.entries.length > MAX_ENTRIES) this.entries.splice(0, this.entries.length - MAX_ENTRIES);
    this.denied.clear();
    if (!this.owner.answersQuestions())
      this.asked = this.asked.filter((address) => this.find(address) === undefined);
  }

  /** IOTLB_MSG, type INVALIDATE; no running task may use the range. */
  invalidate(iova: number, size: number): void {
    const end = iova + size;
    const first = this.placeOf(iova);
    const from = first > 0 && this.entries[first - 1].end > iova ? first - 1 : first;
    let to = from;
    while (to < this.entries.length && this.entries[to].start < end) to++;
    const cut = this.entries.splice(from, to - from);
    const rest = cut.flatMap((entry) => [
      { ...entry, end: Math.min(entry.end, iova) },
      { ...entry, start: Math.max(entry.start, end) },
    ]);
    this.entries.splice(from, 0, ...rest.filter((entry) => entry.start < entry.end));
    this.last = 0;
  }

  /** Forgets everything, as when the memory table changes under it. */
  clear(): void {
    this.entries.length = 0;
    this.denied.clear();
    this.last = 0;
  }

  /** There is a new channel for questions: those before are not answered any more, and who still waits asks again. */
  forgetQuestions(): void {
    this.asked = [];
  }

  /** The front-end has answered the oldest question; without success, what is not here now will not come. */
  answered(success: boolean): void {
    const iova = this.asked.shift();
    if (iova !== undefined && !success && this.find(iova) === undefined) this.denied.add(iova);
  }

  translate(chain: DescriptorChain, index: number, skip: number, length: number, into: SegmentList): boolean {
    const permission = index < chain.readable ? IotlbPermission.READ : IotlbPermission.WRITE;
    let address = chain.addressAt(index) + skip;
    while (length > 0) {
      const entry = this.find(address);
      if (entry === undefined) return this.missed(address, permission);
      if ((entry.permission & permission) === 0) return false;
      const part = Math.min(length, entry.end - address);
      into.add(entry.region.id, address + entry.delta, part);
      address += part;
      length -= part;
    }
    return true;
  }

  /** Rings have IOVAs too; they must lie in one piece of one region. */
  locateRing(address: number, length: number): { region: Region; offset: number } | undefined {
    const { ringSegments, ringBuffer } = this;
    ringBuffer.setAddress(address);
    ringSegments.clear();
    if (!this.translate(ringBuffer, 0, 0, length, ringSegments) || ringSegments.count !== 1) return undefined;
    const { region } = this.find(address)!;
    return { region, offset: ringSegments.offsetAt(0) };
  }

  guestAddress(region: number, offset: number): number {
    return this.table.guestAddress(region, offset);
  }

  private find(address: number): Entry | undefined {
    const { entries } = this;
    const recent = entries[this.last];
    if (recent !== undefined && address >= recent.start && address < recent.end) return recent;
    const at = this.placeOf(address + 1) - 1;
    if (at < 0 || address >= entries[at].end) return undefined;
    this.last = at;
    return entries[at];
  }

  /** Index of the first entry that starts at or after `address`. */
  private placeOf(address: number): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.entries[middle].start < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private missed(address: number, permission: number): false {
    if (this.denied.delete(address)) return false;
    if (!this.asked.includes(address)) {
      if (this.asked.length >= MAX_ASKED) return false;
      if (!this.owner.askForTranslation(address, permission)) return false;
      this.asked.push(address);
    }
    throw TRANSLATION_MISS;
  }
}
