/** A network portal: listens on one address, and knows the targets (target portal groups) to be had there. */
import { createServer, type Server, type Socket } from 'node:net';
import { Connection } from './connection.ts';
import type { IscsiNode } from './iscsi-node.ts';
import type { LoginDirectory } from './login.ts';
import type { AccessControl, IscsiTarget } from './target-node.ts';

export interface PortalAddress {
  /** IP address to listen on, or absent with `path`. */
  readonly host?: string;
  readonly port?: number;
  /** A Unix socket instead, for tests. */
  readonly path?: string;
}

/** Every address of this machine, IPv4 or IPv6. */
const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

export class Portal implements LoginDirectory {
  readonly node: IscsiNode;
  host = '';
  port = 0;
  private readonly targets: ReadonlyMap<string, IscsiTarget>;
  private readonly server: Server;

  constructor(node: IscsiNode, targets: readonly IscsiTarget[]) {
    this.node = node;
    this.targets = new Map(targets.map((target) => [target.name, target]));
    this.server = createServer((socket) => this.node.welcome(new Connection(socket, this)));
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

  /** Resolves when connections come in; rejects with Node's error when the address cannot be had. */
  listen(address: PortalAddress): Promise<void> {
    const { server } = this;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address.host, port: address.port, path: address.path }, () => {
        server.off('error', reject);
        server.on('error', (error) =>
          this.node.log.warn(`iSCSI: cannot accept a connection: ${error.message}`),
        );
        const bound = server.address();
        if (bound !== null && typeof bound !== 'string') {
          this.host = bound.address;
          this.port = bound.port;
        }
        resolve();
      });
    });
  }

  /** Takes nobody in any more. */
  close(): void {
    this.server.close();
  }

  /** Where this portal is, for an initiator that came in through `socket` (RFC 7143 13.8); undefined: no idea. */
  addressFor(socket: Socket): string | undefined {
    const { localAddress = '127.0.0.1' } = socket;
    const near = printableHost(localAddress);
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
