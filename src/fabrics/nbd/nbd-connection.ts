/** One NBD connection: the socket, the order of its phases, and its end. Any breach of protocol is that end. */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { sourceOf, type Visitor } from '../admission.ts';
import type { BufferBudget } from './buffer-budget.ts';
import { ByteQueue } from './byte-queue.ts';
import { type ExportDirectory, Handshake, Next } from './handshake.ts';
import { CLIENT_FLAGS_LENGTH, MAX_OPTION_LENGTH, OPTION_HEADER_LENGTH, OPTION_MAGIC } from './nbd-spec.ts';
import { NbdProtocolError } from './protocol-error.ts';
import { acceptTls } from './tls.ts';
import { type ReplyChannel, Transmission } from './transmission.ts';

/** Milliseconds from accept to the transmission phase. */
const HANDSHAKE_TIMEOUT = 15_000;
/** Options before an export is chosen: a client that asks for more has no use for one. */
const MAX_OPTIONS = 1000;
/** Bytes of answers to options that wait for a client which sends further ones without having read them. */
const MAX_UNREAD_ANSWERS = 1 << 20;
/** Milliseconds without a word from a TCP client until its machine is asked whether it still lives. */
const KEEP_ALIVE_DELAY = 60_000;

export interface ConnectionOwner extends ExportDirectory {
  readonly tls: TlsOptions | undefined;
  readonly budget: BufferBudget;
  /** Whether there is room for a connection that has chosen its disk. */
  admits(connection: NbdConnection): boolean;
  connectionClosed(connection: NbdConnection, reason: string): void;
  /** No fault of the client's: a defect of ours, or memory that cannot be had. It ends the connection. */
  connectionFailed(error: unknown): void;
}

/** Bytes that one read takes, unless they go straight to where they belong. */
const INPUT_LENGTH = 64 << 10;

/** What the bytes that come next are. */
const Phase = { FLAGS: 0, OPTION: 1, TRANSMISSION: 2, WAITING: 3 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

export class NbdConnection implements ReplyChannel, Visitor {
  readonly source: string;
  private readonly owner: ConnectionOwner;
  private readonly handshake: Handshake;
  private readonly queue = new ByteQueue();
  private readonly timer: NodeJS.Timeout;
  private socket: Socket;
  private phase: Phase = Phase.FLAGS;
  /** The option whose data arrives. */
  private option: { readonly code: number; readonly length: number } | undefined = undefined;
  private skipping = 0;
  private options = 0;
  private transmission: Transmission | undefined = undefined;
  private closed = false;
  private finishing = false;
  private goodbye = 'the client has finished';
  private corked = false;
  /** Where bytes arrive that are not payload of a known request; undefined with TLS, which has buffers of its own. */
  private input: Buffer | undefined = undefined;
  /** Whether the next bytes go to the buffer of a request. */
  private direct = false;

  /** `fd`, a connected stream socket, is its own from now on. */
  constructor(fd: number, owner: ConnectionOwner) {
    this.socket = this.open(fd, owner.tls !== undefined);
    this.source = sourceOf(this.socket.remoteAddress);
    this.socket.setNoDelay(true);
    this.socket.setKeepAlive(true, KEEP_ALIVE_DELAY);
    this.owner = owner;
    this.handshake = new Handshake(owner, owner.tls === undefined ? 'none' : 'required');
    this.timer = setTimeout(() => this.close('negotiation took too long'), HANDSHAKE_TIMEOUT);
    this.timer.unref();
    this.listen(this.socket);
    this.send(this.handshake.greeting());
  }

  /** The export in use, once there is one. */
  get exportName(): string | undefined {
    return this.handshake.chosen?.name;
  }

  send(bytes: Uint8Array, written?: () => void): void {
    if (this.closed) {
      written?.();
      return;
    }
    this.cork();
    this.socket.write(bytes, written);
  }

  roomAgain(): void {
    // Not from within a parser that may be on the stack.
    setImmediate(() => {
      if (this.closed) return;
      this.socket.resume();
      this.process();
    });
  }

  finished(): void {
    if (this.finishing) return;
    this.finishing = true;
    this.socket.end(() => this.close(this.goodbye));
  }

  /** Answers what is under way, refuses what still comes, and then hangs up (proto.md, on a server shutdown). */
  stop(reason: string): void {
    if (this.transmission === undefined) this.close(reason);
    else {
      this.goodbye = reason;
      this.transmission.stop();
    }
  }

  close(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.destroy();
    this.transmission?.close();
    this.owner.connectionClosed(this, reason);
  }

  /** Whoever is too many. */
  breach(reason: string): void {
    this.close(reason);
  }

  private open(fd: number, encrypted: boolean): Socket {
    const options: SocketConstructorOpts = { fd, readable: true, writable: true, allowHalfOpen: true };
    if (encrypted) return new Socket(options);
    this.input = Buffer.allocUnsafeSlow(INPUT_LENGTH);
    const onread: OnReadOpts = {
      buffer: () => this.nextBuffer(),
      callback: (length) => {
        this.arrived(length);
        return true;
      },
    };
    // Node knows the option here as well as in `connect`; its types do not.
    return new Socket({ ...options, onread } as SocketConstructorOpts);
  }

  /** Where the kernel is to put what it reads next: payload of a large write is not copied again. */
  private nextBuffer(): Uint8Array {
    const target =
      this.queue.length > 0 || this.phase !== Phase.TRANSMISSION ? undefined : this.transmission!.target();
    this.direct = target !== undefined;
    return target ?? this.input!;
  }

  private arrived(length: number): void {
    if (this.direct) this.transmission!.arrived(length);
    else this.queue.push(this.input!.subarray(0, length));
    this.process();
    // The next read has the same place.
    if (!this.direct) this.queue.keep();
  }

  private listen(socket: Socket): void {
    // Only with TLS; otherwise `arrived` hears of them.
    socket.on('data', (chunk: Buffer) => {
      this.queue.push(chunk);
      this.process();
    });
    socket.on('end', () => this.ended());
    socket.on('error', (error) => this.close(error.message));
    socket.on('close', () => this.close('the client closed the connection'));
  }

  /** The client sends no more. Only after DISC does it still want answers; otherwise it is gone. */
  private ended(): void {
    if (this.transmission?.saidGoodbye !== true) this.close('the client closed the connection');
  }

  /** Replies of one turn of the event loop leave in one system call. */
  private cork(): void {
    if (this.corked) return;
    this.corked = true;
    const { socket } = this;
    socket.cork();
    process.nextTick(() => {
      this.corked = false;
      socket.uncork();
    });
  }

  private process(): void {
    try {
      while (!this.closed && this.step());
    } catch (error) {
      if (!(error instanceof NbdProtocolError)) this.owner.connectionFailed(error);
      this.close((error as Error).message);
    }
  }

  /** Takes one piece; false when more bytes are needed first. */
  private step(): boolean {
    switch (this.phase) {
      case Phase.FLAGS: {
        const flags = this.queue.take(CLIENT_FLAGS_LENGTH);
        if (flags === undefined) return false;
        this.handshake.clientFlags(flags.readUInt32BE(0));
        this.phase = Phase.OPTION;
        return true;
      }
      case Phase.OPTION:
        return this.option === undefined ? this.optionHeader() : this.optionData(this.option);
      case Phase.TRANSMISSION:
        this.transmission!.receive(this.queue);
        if (this.transmission!.blocked) this.socket.pause();
        return false;
      case Phase.WAITING:
        return false;
    }
  }

  private optionHeader(): boolean {
    const header = this.queue.take(OPTION_HEADER_LENGTH);
    if (header === undefined) return false;
    if (header.readBigUInt64BE(0) !== OPTION_MAGIC)
      throw new NbdProtocolError('an option without its magic number');
    if (++this.options > MAX_OPTIONS) throw new NbdProtocolError('too many options');
    if (this.socket.writableLength > MAX_UNREAD_ANSWERS)
      throw new NbdProtocolError('further options, and the answers to those before not read');
    this.option = { code: header.readUInt32BE(8), length: header.readUInt32BE(12) };
    this.skipping = this.option.length > MAX_OPTION_LENGTH ? this.option.length : 0;
    return true;
  }

  private optionData({ code, length }: { code: number; length: number }): boolean {
    if (this.skipping > 0) {
      this.skipping -= this.queue.skip(this.skipping);
      if (this.skipping > 0) return false;
      return this.answerOption(code, undefined);
    }
    const data = this.queue.take(length);
    return data !== undefined && this.answerOption(code, data);
  }

  private answerOption(code: number, data: Buffer | undefined): boolean {
    this.option = undefined;
    const { bytes, next } = this.handshake.option(code, data);
    if (next === Next.TRANSMISSION && !this.owner.admits(this)) {
      this.close('there are too many connections already');
      return false;
    }
    this.send(bytes);
    if (next === Next.CLOSE) this.finished();
    if (next === Next.TLS) this.startTls();
    if (next === Next.TRANSMISSION) this.startTransmission();
    if (next !== Next.OPTION && next !== Next.TRANSMISSION) this.phase = Phase.WAITING;
    return true;
  }

  private startTls(): void {
    // Whatever came before the answer was not protected: somebody may have put it there (CVE-2021-3716).
    if (this.queue.length > 0) throw new NbdProtocolError('data behind STARTTLS');
    const plain = this.socket;
    plain.uncork();
    plain.removeAllListeners('data');
    plain.removeAllListeners('end');
    acceptTls(plain, this.owner.tls!).then(
      (socket) => {
        this.socket = socket;
        this.corked = false;
        this.handshake.startedTls();
        this.phase = Phase.OPTION;
        this.listen(socket);
      },
      (error: Error) => this.close(`TLS: ${error.message}`),
    );
  }

  private startTransmission(): void {
    clearTimeout(this.timer);
    const { structured, extended, allocationContext, chosen } = this.handshake;
    this.transmission = new Transmission(
      chosen!,
      { structured, extended, allocationContext },
      this.owner.budget,
      this,
    );
    this.phase = Phase.TRANSMISSION;
  }
}
