/**
 * Vhost-user messages over a connected unix socket, both ways, with file descriptors. Used for the main channel
 * and for the one that SET_BACKEND_REQ_FD hands over. What is sent is not looked at: any bytes will do.
 */
import { MessageHeader } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import type { RawPoll } from '../../../src/native/addon.ts';
import { addon } from '../../../src/native/addon.ts';
import { Errno } from '../../../src/native/errno.ts';
import { started } from './started-poll.ts';

const READABLE = 1;
const BOTH = 3;
/** More descriptors than any reply carries. */
const MAX_FDS = 16;

export interface Frame {
  readonly request: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** The receiver closes them. */
  readonly fds: readonly number[];
}

interface Outgoing {
  readonly bytes: Uint8Array;
  readonly fds: Int32Array;
  at: number;
}

export class MessageChannel {
  /** Resolves when either side has closed. */
  readonly closed: Promise<void>;
  /** Called for each whole message. */
  onFrame: (frame: Frame) => void = () => {};
  private readonly fd: number;
  private readonly poll: RawPoll;
  private readonly outgoing: Outgoing[] = [];
  private readonly header = new Uint8Array(MessageHeader.LENGTH);
  private payload: Uint8Array | undefined = undefined;
  private received = 0;
  private frameFds: number[] = [];
  private readonly fds = new Int32Array(MAX_FDS);
  private readonly fdCount = new Int32Array(1);
  private open = true;
  private resolveClosed!: () => void;

  /** Takes over `fd`. */
  constructor(fd: number) {
    this.fd = fd;
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    this.poll = started(addon.poll(fd, READABLE, () => this.ready()));
  }

  /** Queues bytes, with descriptors attached to the first of them; the caller keeps and may close those it passed
   * once this returns, unless the socket's buffer was full. */
  send(bytes: Uint8Array, fds: readonly number[] = []): void {
    if (!this.open) return;
    this.outgoing.push({ bytes, fds: Int32Array.from(fds), at: 0 });
    this.flush();
  }

  /** Lets the process exit while this is open. */
  unref(): void {
    this.poll.unref();
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.poll.stop();
    addon.close(this.fd);
    for (const fd of this.frameFds) addon.close(fd);
    this.resolveClosed();
  }

  private ready(): void {
    if (this.outgoing.length > 0) this.flush();
    while (this.open && this.receive());
  }

  private flush(): void {
    while (this.outgoing.length > 0) {
      const next = this.outgoing[0];
      const attached = next.at === 0 ? next.fds.length : 0;
      const sent = addon.send(this.fd, next.bytes, next.at, next.bytes.length - next.at, next.fds, attached);
      if (sent === Errno.EAGAIN) {
        this.poll.events(BOTH);
        return;
      }
      if (sent < 0) {
        this.close();
        return;
      }
      next.at += sent;
      if (next.at === next.bytes.length) this.outgoing.shift();
    }
    this.poll.events(READABLE);
  }

  /** One receive call, never past the end of a message, so that descriptors stay with theirs. False: no more now. */
  private receive(): boolean {
    const into = this.payload ?? this.header;
    const count = addon.receive(
      this.fd,
      into,
      this.received,
      into.length - this.received,
      this.fds,
      this.fdCount,
    );
    if (count === Errno.EAGAIN) return false;
    if (count <= 0) {
      this.close();
      return false;
    }
    this.frameFds.push(...this.fds.subarray(0, this.fdCount[0]));
    this.received += count;
    if (this.received < into.length) return true;
    this.received = 0;
    const header = new DataView(this.header.buffer);
    if (this.payload === undefined) {
      const size = header.getUint32(MessageHeader.SIZE, true);
      this.payload = new Uint8Array(size);
      if (size > 0) return true;
    }
    const frame: Frame = {
      request: header.getUint32(MessageHeader.REQUEST, true),
      flags: header.getUint32(MessageHeader.FLAGS, true),
      payload: this.payload,
      fds: this.frameFds,
    };
    this.payload = undefined;
    this.frameFds = [];
    this.onFrame(frame);
    return true;
  }
}
