/**
 * The front-end's side of an IOMMU, gone bad: it answers questions of the device rightly, wrongly, twice or never, maps
 * pages elsewhere, and takes mappings away while requests use them. It remembers every mapping that it ever made, so
 * that whoever checks the memory afterwards knows what the device may have reached.
 */
import {
  BackendRequest,
  IotlbMessage,
  IotlbPermission,
  IotlbType,
  MessageFlags,
  Request,
} from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import type { FrontEnd } from '../vhost-user/front-end.ts';
import type { GuestMemory } from '../vhost-user/guest-memory.ts';
import type { Frame, MessageChannel } from '../vhost-user/message-channel.ts';
import { iotlb, message, u64 } from '../vhost-user/messages.ts';
import type { Chance } from './chance.ts';

const PAGE = 4096;
const REPLY = MessageFlags.VERSION | MessageFlags.REPLY;

interface Mapping {
  readonly iova: number;
  readonly size: number;
  /** A guest-physical address. */
  readonly address: number;
  readonly permission: number;
}

export class HostileIommu {
  private readonly chance: Chance;
  private readonly frontEnd: FrontEnd;
  private readonly memory: GuestMemory;
  /** Bytes of guest memory, which begins at address 0. */
  private readonly end: number;
  private readonly channel: MessageChannel;
  private readonly mappings: Mapping[] = [];

  private constructor(
    chance: Chance,
    frontEnd: FrontEnd,
    memory: GuestMemory,
    end: number,
    channel: MessageChannel,
  ) {
    this.chance = chance;
    this.frontEnd = frontEnd;
    this.memory = memory;
    this.end = end;
    this.channel = channel;
    channel.onFrame = (frame) => this.asked(frame);
  }

  /** Of a front-end that has negotiated BACKEND_REQ. */
  static async open(
    chance: Chance,
    frontEnd: FrontEnd,
    memory: GuestMemory,
    end: number,
  ): Promise<HostileIommu> {
    return new HostileIommu(chance, frontEnd, memory, end, await frontEnd.openBackendChannel());
  }

  /** Maps or unmaps something that nobody asked for. */
  async disturb(): Promise<void> {
    const { chance } = this;
    const iova = PAGE * chance.below(this.end / PAGE);
    if (chance.oneIn(2)) {
      await this.map(iova);
      return;
    }
    const size = chance.pick([1, PAGE, 16 * PAGE, this.end, 0]);
    await this.frontEnd.request(Request.IOTLB_MSG, iotlb(iova, size, 0, 0, IotlbType.INVALIDATE));
  }

  /** Every byte of guest memory that was ever writable at [iova, iova + length), as ranges. */
  *reach(iova: number, length: number): Iterable<readonly [address: number, length: number]> {
    for (const { iova: start, size, address, permission } of this.mappings) {
      if ((permission & IotlbPermission.WRITE) === 0) continue;
      const from = Math.max(iova, start);
      const to = Math.min(iova + length, start + size);
      if (from < to) yield [address + from - start, to - from];
    }
  }

  close(): void {
    this.channel.close();
  }

  private asked({ request, payload }: Frame): void {
    const { chance } = this;
    if (request !== BackendRequest.IOTLB_MSG || payload.length < IotlbMessage.LENGTH || chance.oneIn(30))
      return;
    const view = new DataView(payload.buffer, payload.byteOffset);
    const iova = Number(view.getBigUint64(IotlbMessage.IOVA, true));
    if (chance.oneIn(20) || iova >= this.end) {
      this.reply(1);
      return;
    }
    void this.map(iova - (iova % PAGE)).then(
      () => this.reply(chance.oneIn(40) ? 1 : 0),
      () => {},
    );
    if (chance.oneIn(30)) this.reply(chance.below(2));
  }

  private reply(code: number): void {
    const payload = this.chance.oneIn(40) ? new Uint8Array(this.chance.below(64)) : u64(code);
    this.channel.send(message(BackendRequest.IOTLB_MSG, payload, REPLY));
  }

  /** Mostly where the guest thinks it is, or few requests would ever be understood. */
  private async map(iova: number): Promise<void> {
    const { chance, end } = this;
    const wanted = PAGE * chance.pick([1, 1, 4, 64, end / PAGE]);
    const address = chance.oneIn(15) ? PAGE * chance.below(end / PAGE) : iova;
    const size = Math.min(wanted, end - address);
    const permission = chance.oneIn(10) ? chance.below(4) : IotlbPermission.READ_WRITE;
    this.mappings.push({ iova, size, address, permission });
    const user = this.memory.userAddress(address);
    await this.frontEnd.request(Request.IOTLB_MSG, iotlb(iova, size, user, permission, IotlbType.UPDATE));
  }
}
