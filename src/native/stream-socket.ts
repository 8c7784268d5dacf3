/**
 * Stream sockets for fabrics that move much data: several buffers in one call, straight from and into the memory
 * that they name, and nothing allocated on the way.
 */
import { Acceptor, type AcceptorOwner } from './acceptor.ts';
import { addon, type RawPoll } from './addon.ts';
import { checked, Errno, LunportError } from './errno.ts';

const BACKLOG = 511;
const READABLE = 1;
const WRITABLE = 2;

export interface SocketAddress {
  readonly host: string;
  readonly port: number;
}

/** Ranges of Uint8Arrays: what one call sends, or fills. */
export class ChunkList {
  static readonly CAPACITY = 256;
  readonly chunks: Uint8Array[] = [];
  /** Offset and length of each. */
  readonly ranges = new Float64Array(2 * ChunkList.CAPACITY);
  count = 0;

  add(bytes: Uint8Array, at: number, length: number): void {
    const { count } = this;
    this.chunks[count] = bytes;
    this.ranges[2 * count] = at;
    this.ranges[2 * count + 1] = length;
    this.count = count + 1;
  }
}

export interface StreamOwner {
  /** Bytes are there, or the end of the stream, or an error: `receive` tells. */
  readable(): void;
  /** There is room to send again. */
  writable(): void;
}

export class StreamSocket {
  readonly #fd: number;
  readonly #poll: RawPoll;
  readonly #owner: StreamOwner;
  #events = READABLE;
  #open = true;

  /** `fd` is this object's from now on. Throws when it cannot be polled. */
  constructor(fd: number, owner: StreamOwner) {
    this.#fd = fd;
    this.#owner = owner;
    const poll = addon.poll(fd, READABLE, (events: number) => this.#happened(events));
    if (typeof poll === 'number') {
      addon.close(fd);
      checked(poll, 'wait for', 'a connection');
    }
    this.#poll = poll as RawPoll;
  }

  /** Undefined when the connection is gone. */
  get localAddress(): SocketAddress | undefined {
    return this.#open ? known(addon.localAddress(this.#fd)) : undefined;
  }

  /** Undefined also where the peer has no IP address. */
  get peerAddress(): SocketAddress | undefined {
    return this.#open ? known(addon.peerAddress(this.#fd)) : undefined;
  }

  /** Bytes received, 0 at the end of the stream, or a negative errno: EAGAIN when nothing is there. */
  receive(list: ChunkList): number {
    return addon.receiveVector(this.#fd, list.chunks, list.ranges, list.count);
  }

  /** Bytes sent, or a negative errno: EAGAIN when there is no room. */
  send(list: ChunkList): number {
    return addon.sendVector(this.#fd, list.chunks, list.ranges, list.count);
  }

  /** What the owner wants to hear of. */
  await(readable: boolean, writable: boolean): void {
    const events = (readable ? READABLE : 0) | (writable ? WRITABLE : 0);
    if (events === this.#events || !this.#open) return;
    this.#events = events;
    this.#poll.events(events);
  }

  /** Nothing more will be sent: the peer reads an end of stream behind what was. */
  finish(): void {
    addon.shutdownWrite(this.#fd);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poll.stop();
    addon.close(this.#fd);
  }

  #happened(events: number): void {
    // A broken connection (negative) reads as one.
    if (events < 0 || (events & READABLE) !== 0) this.#owner.readable();
    if (this.#open && events > 0 && (events & WRITABLE) !== 0) this.#owner.writable();
  }
}

function known(address: SocketAddress | number): SocketAddress | undefined {
  return typeof address === 'number' ? undefined : address;
}

function reservedPort(name: string, port: number): LunportError {
  return new LunportError({
    code: 'EACCES',
    object: name,
    message: `Cannot listen on ${name}: this user may not take port ${port}`,
    hint: 'Take a port from 1024 on, or give it the right: sysctl net.ipv4.ip_unprivileged_port_start, or CAP_NET_BIND_SERVICE.',
  });
}

export class TcpListener {
  readonly address: SocketAddress;
  readonly #acceptor: Acceptor;

  /** Listens on a numeric address; port 0 takes a free one. Throws LunportError. */
  constructor(host: string, port: number, owner: AcceptorOwner) {
    const name = `${host}:${port}`;
    const fd = addon.tcpListen(host, port, BACKLOG);
    if (fd === Errno.EACCES) throw reservedPort(name, port);
    checked(fd, 'listen on', name);
    this.#acceptor = new Acceptor(fd, name, owner);
    const address = addon.localAddress(fd);
    this.address = typeof address === 'number' ? { host, port } : address;
  }

  close(): void {
    this.#acceptor.close();
  }
}
