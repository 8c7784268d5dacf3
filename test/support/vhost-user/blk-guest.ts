/** A guest that has set up the rings of a virtio block device at a vhost-user socket. */
import { ConfigMessage, ProtocolFeature, Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { BlkFeature } from '../../../src/fabrics/vhost-user/virtio-blk-spec.ts';
import { ByteBuilder } from './byte-builder.ts';
import { cut, LAYOUTS, type Layout } from './descriptor-layout.ts';
import { FrontEnd, USUAL_FEATURES, USUAL_PROTOCOL_FEATURES } from './front-end.ts';
import { GuestMemory } from './guest-memory.ts';
import type { MessageChannel } from './message-channel.ts';
import { config } from './messages.ts';
import { VirtioScsiDriver } from './virtio-scsi-driver.ts';

const MEMORY = [{ guestAddress: 0, length: 16 << 20 }];
/** What a status byte holds before the device writes it. */
export const UNTOUCHED = 0xee;

const BLK_FEATURES = [
  BlkFeature.SEG_MAX,
  BlkFeature.BLK_SIZE,
  BlkFeature.FLUSH,
  BlkFeature.TOPOLOGY,
  BlkFeature.CONFIG_WCE,
  BlkFeature.MQ,
  BlkFeature.DISCARD,
  BlkFeature.WRITE_ZEROES,
].reduce((set, bit) => set | (1n << BigInt(bit)), 0n);

export interface BlkRequest {
  readonly type: number;
  readonly sector?: number | bigint;
  readonly dataOut?: Uint8Array;
  readonly dataInLength?: number;
  readonly layout?: Layout;
}

export interface BlkResult {
  readonly status: number;
  readonly dataIn: Uint8Array;
  /** The length in the used element. */
  readonly written: number;
}

export interface BlkOptions {
  /** Feature bits that the driver does not take. */
  readonly without?: readonly number[];
  readonly features?: bigint;
}

export interface BlkParts {
  readonly frontEnd: FrontEnd;
  readonly memory: GuestMemory;
  readonly driver: VirtioScsiDriver;
  readonly channel: MessageChannel;
}

export class BlkGuest {
  readonly frontEnd: FrontEnd;
  readonly memory: GuestMemory;
  /** Only its rings are of use here. */
  readonly driver: VirtioScsiDriver;
  readonly channel: MessageChannel;

  protected constructor({ frontEnd, memory, driver, channel }: BlkParts) {
    this.frontEnd = frontEnd;
    this.memory = memory;
    this.driver = driver;
    this.channel = channel;
  }

  static async connect(path: string, options?: BlkOptions): Promise<BlkGuest> {
    return new BlkGuest(await BlkGuest.boot(path, options));
  }

  protected static async boot(
    path: string,
    { without = [], features = USUAL_FEATURES }: BlkOptions = {},
  ): Promise<BlkParts> {
    const memory = new GuestMemory(MEMORY);
    const frontEnd = FrontEnd.connect(path);
    const wanted = without.reduce((set, bit) => set & ~(1n << BigInt(bit)), features | BLK_FEATURES);
    await frontEnd.negotiate(wanted, USUAL_PROTOCOL_FEATURES | (1n << BigInt(ProtocolFeature.CONFIG)));
    await frontEnd.shareMemory(memory);
    const channel = await frontEnd.openBackendChannel();
    const driver = await VirtioScsiDriver.start(frontEnd, memory, { queueSize: 1024 });
    return { frontEnd, memory, driver, channel };
  }

  async execute({
    type,
    sector = 0,
    dataOut = new Uint8Array(0),
    dataInLength = 0,
    layout = LAYOUTS.separate,
  }: BlkRequest): Promise<BlkResult> {
    const { memory } = this;
    const header = new ByteBuilder().u32(type, 0).u64(BigInt(sector)).build();
    const output = memory.allocate(header.length + dataOut.length);
    const input = memory.allocate(dataInLength + 1);
    memory.bytes(output, header.length).set(header);
    memory.bytes(output + header.length, dataOut.length).set(dataOut);
    const answer = memory.bytes(input, dataInLength + 1).fill(UNTOUCHED);
    const written = await this.driver.submit(0, [
      ...cut(output, layout(header.length, dataOut.length), false),
      // Turned round: what stands first here are the data, and the status ends it. A byte cannot be split.
      ...cut(
        input,
        (layout === LAYOUTS.headerSplit ? LAYOUTS.separate : layout)(1, dataInLength).toReversed(),
        true,
      ),
    ]);
    const result = { status: answer[dataInLength], dataIn: answer.slice(0, dataInLength), written };
    memory.release(output);
    memory.release(input);
    return result;
  }

  async readConfig(offset: number, size: number): Promise<DataView> {
    const { payload } = await this.frontEnd.request(Request.GET_CONFIG, config(offset, size));
    const bytes = payload.slice(Math.min(ConfigMessage.PAYLOAD, payload.length));
    return new DataView(bytes.buffer);
  }

  async close(): Promise<void> {
    this.driver.close();
    this.frontEnd.close();
    this.channel.close();
    await this.stopped();
    this.memory.close();
  }

  /** Resolves when nothing touches the memory any more. */
  protected async stopped(): Promise<void> {}
}
