/**
 * Vhost-user messages on a connected unix socket: cuts the stream into messages, keeps file descriptors with the
 * message that they came with, and bounds both. It does not know what a message means.
 */
import { addon, type RawPoll } from '../../native/addon.ts';
import { Errno, systemError } from '../../native/errno.ts';
import { type Header, parseHeader } from './message.ts';
import { ProtocolError } from './protocol-error.ts';
import { MAX_MESSAGE_FDS, MessageHeader } from './vhost-user-spec.ts';

const READABLE = 1;
const BOTH = 3;
const NO_FDS = new Int32Array(0);
const EMPTY = new Uint8Array(0);

/** Replies that the front-end does not fetch; more is not normal. */
const MAX_UNSENT = 256;
/** After so many pieces at a time, others have their turn: a peer may write as fast as we read. */
const PIECES_PER_TURN = 64;

export interface MessageSocketOwner {
  /** A whole message. The owner closes `fds`, or gives them a new owner. */
  messageReceived(header: Header, payload: Uint8Array, fds: number[]): void;
  /** The peer closed the connection (`undefined`), or it broke. The socket is closed already. */
  socketClosed(cause: Error | undefined): void;
}

interface Unsent {
  readonly bytes: Uint8Array;
  /** Ours until they are sent: a number that was closed may by then be somebody else's descriptor. */
  readonly fds: number[];
  at: number;
}

export class MessageSocket {
  private readonly fd: number;
  private readonly owner: MessageSocketOwner;
  private readonly poll: RawPoll;
  private readonly headerBytes = new Uint8Array(MessageHeader.LENGTH);
  private header: Header | undefined = undefined;
  private payload = EMPTY;
  /** Bytes of the header or the payload that have arrived. */
  private received = 0;
  /** Of the message that is arriving. */
  private fds: number[] = [];
  private readonly arrivedFds = new Int32Array(MAX_MESSAGE_FDS);
  private readonly arrivedCount = new Int32Array(1);
  private readonly unsent: Unsent[] = [];
  private held = false;
  private open = true;

  /** Takes over `fd`. */
  constructor(fd: number, owner: MessageSocketOwner) {
    this.fd = fd;
    this.owner = owner;
    const poll = addon.poll(fd, READABLE, () => this.ready());
    if (typeof poll === 'number') {
      addon.close(fd);
      throw systemError(poll, 'poll', 'a vhost-user connection');
    }
    this.poll = poll;
  }

  /** Reads no further message until `release`: the last one is still being worked on. */
  hold(): void {
    this.held = true;
    this.await();
  }

  release(): void {
    this.held = false;
    if (this.open) {
      this.await();
      // What is in the socket's buffer already may be read at once, but not from within the caller.
      setImmediate(() => this.ready());
    }
  }

  /** Sends a message, now or when there is room; takes over `fds`. */
  send(bytes: Uint8Array, fds: number[] = []): void {
    if (!this.open) {
      closeAll(fds);
      return;
    }
    this.unsent.push({ bytes, fds, at: 0 });
    if (this.unsent.length > MAX_UNSENT) {
      this.fail(new ProtocolError('the front-end does not read its replies'));
      return;
    }
    this.flush();
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.poll.stop();
    addon.close(this.fd);
    closeAll(this.fds);
    for (const { fds } of this.unsent.splice(0)) closeAll(fds);
  }

  private ready(): void {
    this.flush();
    // What is left wakes the loop again.
    for (let i = 0; i < PIECES_PER_TURN && this.open && !this.held; i++) if (!this.receive()) return;
  }

  /** One receive call, never past the end of a message, so that descriptors stay with theirs. False: no more now. */
  private receive(): boolean {
    const into = this.header === undefined ? this.headerBytes : this.payload;
    const count = addon.receive(
      this.fd,
      into,
      this.received,
      into.length - this.received,
      this.arrivedFds,
      this.arrivedCount,
    );
    if (count === Errno.EAGAIN) return false;
    for (let i = 0; count >= 0 && i < this.arrivedCount[0]; i++) this.fds.push(this.arrivedFds[i]);
    if (count <= 0) {
      this.fail(count === 0 ? this.endOfStream() : receiveError(count));
      return false;
    }
    if (this.fds.length > MAX_MESSAGE_FDS) {
      this.fail(new ProtocolError(`more than ${MAX_MESSAGE_FDS} file descriptors in one message`));
      return false;
    }
    this.received += count;
    if (this.received < into.length) return true;
    this.received = 0;
    try {
      this.complete();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.fail(error);
    }
    return true;
  }

  /** A header or a payload is whole. */
  private complete(): void {
    if (this.header === undefined) {
      this.header = parseHeader(this.headerBytes);
      this.payload = new Uint8Array(this.header.size);
      if (this.header.size > 0) return;
    }
    const { header, payload, fds } = this;
    this.header = undefined;
    this.payload = EMPTY;
    this.fds = [];
    this.owner.messageReceived(header, payload, fds);
  }

  private endOfStream(): Error | undefined {
    const between = this.header === undefined && this.received === 0;
    return between ? undefined : new ProtocolError('the connection ended within a message');
  }

  private flush(): void {
    while (this.open && this.unsent.length > 0) {
      const next = this.unsent[0];
      // They go with the first byte.
      const { fds } = next;
      const attached = fds.length === 0 ? NO_FDS : Int32Array.from(fds);
      const left = next.bytes.length - next.at;
      const sent = addon.send(this.fd, next.bytes, next.at, left, attached, attached.length);
      if (sent === Errno.EAGAIN) break;
      if (sent < 0) {
        this.fail(systemError(sent, 'write to', 'a vhost-user connection'));
        return;
      }
      closeAll(fds);
      next.at += sent;
      if (next.at === next.bytes.length) this.unsent.shift();
    }
    this.await();
  }

  /** Awaits what can be used now: a held socket that is readable would wake the loop without end. */
  private await(): void {
    if (!this.open) return;
    const readable = this.held ? 0 : READABLE;
    this.poll.events(this.unsent.length > 0 ? readable | (BOTH & ~READABLE) : readable);
  }

  private fail(cause: Error | undefined): void {
    if (!this.open) return;
    this.close();
    this.owner.socketClosed(cause);
  }
}

function receiveError(errno: number): Error {
  if (errno === Errno.EMSGSIZE) {
    return new ProtocolError(`more than ${MAX_MESSAGE_FDS} file descriptors in one message`);
  }
  return systemError(errno, 'read from', 'a vhost-user connection');
}

export function closeAll(fds: number[]): void {
  for (const fd of fds.splice(0)) addon.closeForeign(fd);
}
