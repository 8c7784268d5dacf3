/** An NBD client of single bytes: it says what a test tells it to, right or wrong, and shows what comes back. */
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import {
  EXTENDED_REQUEST_MAGIC,
  GREETING_LENGTH,
  OPTION_MAGIC,
  OPTION_REPLY_HEADER_LENGTH,
  Option,
  REQUEST_MAGIC,
  Reply,
} from '../../src/fabrics/nbd/nbd-spec.ts';

export interface OptionReply {
  readonly type: number;
  readonly data: Buffer;
}

export interface RequestFields {
  readonly type: number;
  readonly flags?: number;
  readonly offset?: number | bigint;
  readonly length?: number;
  readonly cookie?: number;
  readonly payload?: Uint8Array;
}

export class NbdClient {
  readonly socket: Socket;
  extended = false;
  private received = Buffer.alloc(0);
  private wake: () => void = () => {};
  private ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  /** Connected to a Unix socket or elsewhere, the server's greeting read and answered with `flags`. */
  static async open(where: string | NetConnectOpts, flags = 3): Promise<NbdClient> {
    const client = new NbdClient(connect(typeof where === 'string' ? { path: where } : where));
    await client.read(GREETING_LENGTH);
    client.write(u32(flags));
    return client;
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Exactly `length` bytes; rejects when the server hangs up before. */
  async read(length: number): Promise<Buffer> {
    while (this.received.length < length) {
      if (this.ended) throw new Error(`the server hung up after ${this.received.length} of ${length} bytes`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    const bytes = this.received.subarray(0, length);
    this.received = this.received.subarray(length);
    return bytes;
  }

  /** Resolves when the server has hung up. */
  async hungUp(): Promise<void> {
    while (!this.ended) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  sendOption(option: number, data: Uint8Array = new Uint8Array(0), announced = data.length): void {
    const header = Buffer.alloc(16);
    header.writeBigUInt64BE(OPTION_MAGIC, 0);
    header.writeUInt32BE(option, 8);
    header.writeUInt32BE(announced, 12);
    this.write(Buffer.concat([header, data]));
  }

  async optionReply(): Promise<OptionReply> {
    const header = await this.read(OPTION_REPLY_HEADER_LENGTH);
    return { type: header.readUInt32BE(12), data: Buffer.from(await this.read(header.readUInt32BE(16))) };
  }

  /** Sends an option; all replies up to the one that ends it. */
  async option(option: number, data?: Uint8Array): Promise<OptionReply[]> {
    this.sendOption(option, data);
    const replies: OptionReply[] = [];
    do replies.push(await this.optionReply());
    while (replies[replies.length - 1].type !== Reply.ACK && replies[replies.length - 1].type < 0x8000_0000);
    return replies;
  }

  /** Agrees on replies and metadata and chooses the default export. */
  async go(form: 'simple' | 'structured' | 'extended', contexts = true): Promise<void> {
    if (form === 'structured') await this.option(Option.STRUCTURED_REPLY);
    if (form === 'extended') await this.option(Option.EXTENDED_HEADERS);
    if (form !== 'simple' && contexts) {
      await this.option(Option.SET_META_CONTEXT, metaQuery('', ['base:allocation']));
    }
    this.extended = form === 'extended';
    const replies = await this.option(Option.GO, goRequest(''));
    if (replies[replies.length - 1].type !== Reply.ACK) throw new Error('GO was refused');
  }

  request(fields: RequestFields): void {
    const header = Buffer.alloc(this.extended ? 32 : 28);
    header.writeUInt32BE(this.extended ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC, 0);
    header.writeUInt16BE(fields.flags ?? 0, 4);
    header.writeUInt16BE(fields.type, 6);
    header.writeBigUInt64BE(BigInt(fields.cookie ?? 0), 8);
    header.writeBigUInt64BE(BigInt(fields.offset ?? 0), 16);
    if (this.extended) header.writeBigUInt64BE(BigInt(fields.length ?? 0), 24);
    else header.writeUInt32BE(fields.length ?? 0, 24);
    this.write(header);
    if (fields.payload !== undefined) this.write(fields.payload);
  }

  /** A reply in simple form; `length` bytes of data if it is a success. */
  async simpleReply(length = 0): Promise<{ error: number; cookie: number; data: Buffer }> {
    const header = Buffer.from(await this.read(16));
    const error = header.readUInt32BE(4);
    return {
      error,
      cookie: Number(header.readBigUInt64BE(8)),
      data: await this.read(error === 0 ? length : 0),
    };
  }

  /** A chunk in structured or extended form. */
  async chunk(): Promise<{
    flags: number;
    type: number;
    cookie: number;
    data: Buffer;
    offset: bigint | undefined;
  }> {
    const header = Buffer.from(await this.read(this.extended ? 32 : 20));
    const length = this.extended ? Number(header.readBigUInt64BE(24)) : header.readUInt32BE(16);
    return {
      flags: header.readUInt16BE(4),
      type: header.readUInt16BE(6),
      cookie: Number(header.readBigUInt64BE(8)),
      /** Of an extended reply. */
      offset: this.extended ? header.readBigUInt64BE(16) : undefined,
      data: Buffer.from(await this.read(length)),
    };
  }

  close(): void {
    this.socket.destroy();
  }
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value, 0);
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
}

/** Data of NBD_OPT_GO and NBD_OPT_INFO. */
export function goRequest(name: string, information: readonly number[] = []): Buffer {
  return Buffer.concat([text(name), u16(information.length), ...information.map(u16)]);
}

/** Data of NBD_OPT_SET_META_CONTEXT and NBD_OPT_LIST_META_CONTEXT. */
export function metaQuery(name: string, queries: readonly string[]): Buffer {
  return Buffer.concat([text(name), u32(queries.length), ...queries.map(text)]);
}
