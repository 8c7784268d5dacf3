/** A network portal: listens on one address, and knows the targets (target portal groups) to be had there. */
import type { AcceptorOwner } from '../../native/acceptor.ts';
import { TcpListener } from '../../native/stream-socket.ts';
import { UnixListener } from '../../native/unix-socket.ts';
import { Connection } from './connection.ts';
import type { IscsiNode } from './iscsi-node.ts';
import type { LoginDirectory } from './login.ts';
import type { AccessControl, IscsiTarget } from './target-node.ts';

/** An IP address, or the path of a Unix socket, which discovery does not tell of. */
export type PortalAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** Every address of this machine, IPv4 or IPv6. */
const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

export class Portal implements LoginDirectory, AcceptorOwner {
  readonly node: IscsiNode;
  /** Empty for a Unix socket. */
  readonly host: string = '';
  readonly port: number = 0;
  private readonly targets: ReadonlyMap<string, IscsiTarget>;
  private readonly listener: TcpListener | UnixListener;

  /** Listens; throws LunportError when the address cannot be had. */
  constructor(node: IscsiNode, address: PortalAddress, targets: readonly IscsiTarget[]) {
    this.node = node;
    this.targets = new Map(targets.map((target) => [target.name, target]));
    if ('path' in address) this.listener = new UnixListener(address.path, this);
    else {
      const listener = new TcpListener(address.host, address.port, this);
      this.listener = listener;
      ({ host: this.host, port: this.port } = listener.address);
    }
  }

  get discoveryAccess(): AccessControl {
    return this.node.discoveryAccess;
  }

  target(name: string): IscsiTarget | undefined {
    return this.targets.get(name);
  }

  allTargets(): Iterable<IscsiTarget> {
    return this.targets.values();
  }

  connected(fd: number): void {
    let connection: Connection;
    try {
      connection = new Connection(fd, this);
    } catch (error) {
      // The kernel has no room to wait for it; its descriptor is closed.
      this.acceptFailed(error as Error);
      return;
    }
    this.node.welcome(connection);
  }

  acceptFailed(error: Error): void {
    this.node.complaints.add(`iSCSI: cannot accept a connection: ${error.message}`);
  }

  /** Takes nobody in any more. */
  close(): void {
    this.listener.close();
  }

  /** Where this portal is, for an initiator that got through to `localHost` (RFC 7143 13.8); undefined: no idea. */
  addressFor(localHost = '127.0.0.1'): string | undefined {
    if (this.host === '') return undefined;
    const near = printableHost(localHost);
    if (!WILDCARDS.has(this.host)) return `${printableHost(this.host)}:${this.port}`;
    // A portal on every address is where the initiator got through to, if it speaks that version of IP.
    if (near.startsWith('[') && this.host === '0.0.0.0') return undefined;
    return `${near}:${this.port}`;
  }
}

function printableHost(host: string): string {
  const plain = host.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '');
  return plain.includes(':') ? `[${plain}]` : plain;
}
