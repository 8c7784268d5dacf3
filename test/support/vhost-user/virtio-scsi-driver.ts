/**
 * A guest's virtio-scsi driver (virtio 1.2, 5.6) over a mock front-end: sends CDBs and task management requests,
 * receives events, and resolves promises. See front-end.ts for a whole session.
 */
import { hasFeature } from '../../../src/fabrics/vhost-user/feature-set.ts';
import { Request, VhostFeature } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import {
  ControlType,
  DEFAULT_CDB_SIZE,
  DEFAULT_SENSE_SIZE,
  Event,
  LUN_FORMAT_SINGLE_LEVEL,
  LunField,
  QueueIndex,
  ResponseHeader,
  ScsiFeature,
  TASK_MANAGEMENT_RESPONSE_BYTES,
  VirtioTaskAttribute,
} from '../../../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { VirtioFeature } from '../../../src/fabrics/vhost-user/virtio-spec.ts';
import { addon, type RawPoll } from '../../../src/native/addon.ts';
import { ByteBuilder } from './byte-builder.ts';
import { cut, LAYOUTS, type Layout } from './descriptor-layout.ts';
import { DriverQueue } from './driver-queue.ts';
import type { BufferElement } from './driver-ring.ts';
import type { FrontEnd } from './front-end.ts';
import type { GuestMemory } from './guest-memory.ts';
import { PACKED_START, PackedDriverQueue } from './packed-driver-queue.ts';
import { started } from './started-poll.ts';

export interface DriverOptions {
  /** Default 1. */
  readonly requestQueues?: number;
  /** Descriptors per ring; default 128. */
  readonly queueSize?: number;
  /** One indirect table per request; default: when negotiated. */
  readonly indirect?: boolean;
  /** Default `LAYOUTS.separate`. */
  readonly layout?: Layout;
  /** Buffers in the event queue; default 0. */
  readonly eventBuffers?: number;
  /** The rings to set up, all are enabled; default all. Firmware sets up one request queue only. */
  readonly rings?: readonly number[];
  /** Set up the rings without enabling them; default false. */
  readonly leaveDisabled?: boolean;
  /** The front-end gives no kick descriptors, and the driver kicks nobody; default false. */
  readonly polled?: boolean;
}

export interface ScsiRequest {
  readonly cdb: ArrayLike<number>;
  /** Default 0. */
  readonly target?: number;
  /** Default 0. */
  readonly lun?: number;
  /** The eight bytes of the LUN field as they are, instead of `target` and `lun`. */
  readonly lunField?: ArrayLike<number>;
  readonly dataOut?: Uint8Array;
  readonly dataInLength?: number;
  /** With T10_PI: what goes before the data, and how many bytes to take before the data. */
  readonly protectionOut?: Uint8Array;
  readonly protectionInLength?: number;
  /** The header's claims, if they are to differ from the two above. */
  readonly claimedProtection?: { readonly out: number; readonly in: number };
  /** Default: a number of the driver's own. */
  readonly id?: number;
  readonly attribute?: number;
  /** Counted from 0 among the request queues; default 0. */
  readonly queue?: number;
  readonly layout?: Layout;
}

export interface ScsiResult {
  /** One of VirtioScsiResponse. */
  readonly response: number;
  /** SAM status; only with response OK. */
  readonly status: number;
  readonly statusQualifier: number;
  readonly sense: Uint8Array;
  readonly residual: number;
  /** All `dataInLength` bytes. */
  readonly dataIn: Uint8Array;
  /** All `protectionInLength` bytes. */
  readonly protectionIn: Uint8Array;
  /** The length in the used element. */
  readonly written: number;
}

const RESPONSE_BYTES = ResponseHeader.SENSE + DEFAULT_SENSE_SIZE;
/** What a response buffer holds before the device writes: shows what it left alone. */
const UNTOUCHED = 0xee;

export class VirtioScsiDriver {
  readonly frontEnd: FrontEnd;
  readonly memory: GuestMemory;
  /** All rings by their virtqueue index: control, event, requests. */
  readonly rings: readonly (DriverQueue | PackedDriverQueue)[];
  /** Called for each event, with its 16 bytes (5.6.6.3). The buffer is handed back to the device after. */
  onEvent: (event: Uint8Array) => void = () => {};
  /** Whether the device is told of new chains. */
  kicks: boolean;
  private readonly layout: Layout;
  private readonly polls: RawPoll[];
  private readonly waiting: Map<number, (written: number) => void>[];
  private readonly packed: boolean;
  private readonly protects: boolean;
  private nextId = 1;

  private constructor(frontEnd: FrontEnd, memory: GuestMemory, options: DriverOptions) {
    this.frontEnd = frontEnd;
    this.memory = memory;
    this.layout = options.layout ?? LAYOUTS.separate;
    this.kicks = options.polled !== true;
    const eventIdx = hasFeature(frontEnd.features, VirtioFeature.RING_EVENT_IDX);
    const indirect = options.indirect ?? hasFeature(frontEnd.features, VirtioFeature.RING_INDIRECT_DESC);
    this.protects = hasFeature(frontEnd.features, ScsiFeature.T10_PI);
    this.packed = hasFeature(frontEnd.features, VirtioFeature.RING_PACKED);
    const count = QueueIndex.FIRST_REQUEST + (options.requestQueues ?? 1);
    const ringOptions = { size: options.queueSize ?? 128, eventIdx, indirect };
    this.rings = Array.from({ length: count }, () =>
      this.packed ? new PackedDriverQueue(memory, ringOptions) : new DriverQueue(memory, ringOptions),
    );
    this.waiting = this.rings.map(() => new Map());
    this.polls = this.rings.map((queue, index) =>
      started(addon.pollEventfd(queue.callFd, () => this.collect(index))),
    );
  }

  /** Sets up and enables all rings of a negotiated front-end whose memory is shared. */
  static async start(
    frontEnd: FrontEnd,
    memory: GuestMemory,
    options: DriverOptions = {},
  ): Promise<VirtioScsiDriver> {
    const driver = new VirtioScsiDriver(frontEnd, memory, options);
    try {
      await driver.setUp(frontEnd, options);
      return driver;
    } catch (error) {
      driver.close();
      throw error;
    }
  }

  private async setUp(frontEnd: FrontEnd, options: DriverOptions): Promise<void> {
    const base = this.packed ? PACKED_START : 0;
    for (const [index, ring] of this.rings.entries()) {
      if (options.rings?.includes(index) ?? true)
        await frontEnd.setUpRing(index, ring, this.memory, base, options.polled);
    }
    // Without protocol features a ring is enabled from its start ("Ring states").
    if (!options.leaveDisabled && hasFeature(frontEnd.features, VhostFeature.PROTOCOL_FEATURES)) {
      for (const index of this.rings.keys()) await frontEnd.enableRing(index);
    }
    for (let i = 0; i < (options.eventBuffers ?? 0); i++) this.addEventBuffer();
  }

  /** The rings of a driver that uses split ones, for tests that look into them. */
  get queues(): readonly DriverQueue[] {
    return this.rings.filter((ring) => ring instanceof DriverQueue);
  }

  /** Sends a CDB; resolves when its used element is seen, and never rejects. */
  execute(request: ScsiRequest): Promise<ScsiResult> {
    const { layout = this.layout, protectionInLength = 0 } = request;
    const { memory } = this;
    const header = this.requestHeader(request);
    const sent = Uint8Array.from([...(request.protectionOut ?? []), ...(request.dataOut ?? [])]);
    const taken = protectionInLength + (request.dataInLength ?? 0);
    const output = memory.allocate(header.length + sent.length);
    const input = memory.allocate(RESPONSE_BYTES + taken);
    const outBytes = memory.bytes(output, header.length + sent.length);
    outBytes.set(header);
    outBytes.set(sent, header.length);
    const inBytes = memory.bytes(input, RESPONSE_BYTES + taken).fill(UNTOUCHED);
    const elements = [
      ...cut(output, layout(header.length, sent.length), false),
      ...cut(input, layout(RESPONSE_BYTES, taken), true),
    ];
    return this.submit(QueueIndex.FIRST_REQUEST + (request.queue ?? 0), elements).then((written) => {
      const result = parseResponse(inBytes.slice(), written, protectionInLength);
      memory.release(output);
      memory.release(input);
      return result;
    });
  }

  /** A task management function (5.6.6.2); resolves with the response byte. */
  async manageTask(
    subtype: number,
    request: { target?: number; lun?: number; id?: number } = {},
  ): Promise<number> {
    const bytes = new ByteBuilder()
      .u32(ControlType.TASK_MANAGEMENT, subtype)
      .raw(lunField(request.target ?? 0, request.lun ?? 0))
      .u64(request.id ?? 0)
      .build();
    return (await this.control(bytes, TASK_MANAGEMENT_RESPONSE_BYTES))[0];
  }

  /** Any bytes on the control queue; resolves with `responseLength` bytes of answer. */
  async control(bytes: Uint8Array, responseLength: number): Promise<Uint8Array> {
    const output = this.memory.allocate(bytes.length);
    const input = this.memory.allocate(responseLength);
    this.memory.bytes(output, bytes.length).set(bytes);
    const response = this.memory.bytes(input, responseLength).fill(UNTOUCHED);
    await this.submit(QueueIndex.CONTROL, [
      ...cut(output, [bytes.length], false),
      ...cut(input, [responseLength], true),
    ]);
    const copy = response.slice();
    this.memory.release(output);
    this.memory.release(input);
    return copy;
  }

  /** Any chain on any queue; resolves with the length in the used element. */
  submit(index: number, elements: readonly BufferElement[]): Promise<number> {
    const queue = this.rings[index];
    const id = queue.add(elements);
    return new Promise((resolve) => {
      this.waiting[index].set(id, resolve);
      if (queue.publish() && this.kicks) queue.kick();
    });
  }

  addEventBuffer(): void {
    const address = this.memory.allocate(Event.LENGTH);
    const post = () => {
      const done = this.submit(QueueIndex.EVENT, [{ address, length: Event.LENGTH, writable: true }]);
      void done.then(() => {
        this.onEvent(this.memory.bytes(address, Event.LENGTH).slice());
        if (this.open) post();
      });
    };
    post();
  }

  /** Stops the rings at the back-end, in QEMU's order, and resolves with their avail indexes. */
  async stop(): Promise<number[]> {
    const bases: number[] = [];
    for (const index of this.rings.keys()) {
      bases.push(await this.frontEnd.getVringBase(index));
      this.collect(index);
    }
    return bases;
  }

  /** RESET_DEVICE, as a guest's reboot brings it. */
  resetDevice(): Promise<void> {
    return this.frontEnd.send(Request.RESET_DEVICE);
  }

  private open = true;

  /** Forgets the rings; requests under way never resolve. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    for (const poll of this.polls) poll.stop();
    for (const ring of this.rings) ring.close();
  }

  private requestHeader(request: ScsiRequest): Uint8Array {
    const cdb = new Uint8Array(DEFAULT_CDB_SIZE);
    cdb.set(request.cdb);
    const builder = new ByteBuilder()
      .raw(request.lunField ?? lunField(request.target ?? 0, request.lun ?? 0))
      .u64(request.id ?? this.nextId++)
      .u8(request.attribute ?? VirtioTaskAttribute.SIMPLE, 0, 0);
    if (this.protects) {
      const { protectionOut, protectionInLength, claimedProtection } = request;
      builder.u32(claimedProtection?.out ?? protectionOut?.length ?? 0);
      builder.u32(claimedProtection?.in ?? protectionInLength ?? 0);
    }
    return builder.raw(cdb).build();
  }

  private collect(index: number): void {
    const waiting = this.waiting[index];
    this.rings[index].reap((id, written) => {
      const resolve = waiting.get(id);
      waiting.delete(id);
      resolve?.(written);
    });
  }
}

/** Single level LUN structure of SAM-5 4.7.7.2 in the LUN field of 5.6.6.1, as Linux writes it. */
export function lunField(target: number, lun: number): Uint8Array {
  const field = new Uint8Array(LunField.LENGTH);
  field[LunField.FORMAT] = LUN_FORMAT_SINGLE_LEVEL;
  field[LunField.TARGET] = target;
  field[LunField.LUN] = (lun >>> 8) | 0x40;
  field[LunField.LUN + 1] = lun;
  return field;
}

function parseResponse(bytes: Uint8Array, written: number, protectionLength: number): ScsiResult {
  const view = new DataView(bytes.buffer);
  const senseLength = view.getUint32(ResponseHeader.SENSE_LENGTH, true);
  return {
    response: bytes[ResponseHeader.RESPONSE],
    status: bytes[ResponseHeader.STATUS],
    statusQualifier: view.getUint16(ResponseHeader.STATUS_QUALIFIER, true),
    residual: view.getUint32(ResponseHeader.RESIDUAL, true),
    sense: bytes.slice(
      ResponseHeader.SENSE,
      ResponseHeader.SENSE + Math.min(senseLength, DEFAULT_SENSE_SIZE),
    ),
    protectionIn: bytes.slice(RESPONSE_BYTES, RESPONSE_BYTES + protectionLength),
    dataIn: bytes.slice(RESPONSE_BYTES + protectionLength),
    written,
  };
}
