/** An NBD server: listens on a TCP address or a Unix socket and offers disks under export names. */
import type { TlsOptions } from 'node:tls';
import { TcpListener } from '../../native/stream-socket.ts';
import { UnixListener } from '../../native/unix-socket.ts';
import type { Environment } from '../../scsi/environment.ts';
import { Admission } from '../admission.ts';
import { ComplaintLog } from '../complaint-log.ts';
import { BufferBudget } from './buffer-budget.ts';
import { findExport } from './handshake.ts';
import { type ConnectionOwner, NbdConnection } from './nbd-connection.ts';
import { NbdExport, type NbdExportOptions } from './nbd-export.ts';

/** Milliseconds that requests under way get for their answers when the server stops. */
const STOP_GRACE = 2000;

export interface NbdLog {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export type NbdAddress = { readonly path: string } | { readonly host: string; readonly port: number };

export class NbdServer implements ConnectionOwner {
  readonly exports: NbdExport[] = [];
  readonly tls: TlsOptions | undefined;
  readonly budget = new BufferBudget();
  private readonly environment: Environment;
  private readonly log: NbdLog;
  private readonly connections = new Set<NbdConnection>();
  private readonly admission = new Admission();
  /** Ends of connections that never got to a disk: anybody can make as many as he likes. */
  private readonly strangers: ComplaintLog;
  private readonly listeners: (TcpListener | UnixListener)[] = [];
  /** Resolves the wait for the last connection. */
  private allGone: (() => void) | undefined = undefined;

  constructor(environment: Environment, log: NbdLog, tls?: TlsOptions) {
    this.environment = environment;
    this.log = log;
    this.strangers = new ComplaintLog((message) => log.info(message));
    this.tls = tls;
  }

  /** Offers a disk; the first one is the default export. Throws UnusableUnitError. */
  async addExport(options: NbdExportOptions): Promise<void> {
    this.exports.push(await NbdExport.open(options, this.environment));
  }

  /** Withdraws it; whoever uses it is hung up on. Resolves when no command of theirs touches memory any more. */
  async removeExport(name: string): Promise<void> {
    const at = this.exports.findIndex((candidate) => candidate.name === name);
    if (at < 0) return;
    const [{ device }] = this.exports.splice(at, 1);
    for (const connection of [...this.connections]) {
      if (connection.exportName === name) connection.close('its disk was taken away');
    }
    await device.close();
  }

  find(name: string): NbdExport | undefined {
    return findExport(this.exports, name);
  }

  /** Returns the port in use, 0 for a Unix socket (mode 0600). Throws LunportError when the address cannot be had. */
  listen(address: NbdAddress): number {
    const owner = {
      connected: (fd: number) => this.accept(fd),
      acceptFailed: (error: Error) => this.log.warn(`NBD: ${error.message}`),
    };
    if ('path' in address) {
      this.listeners.push(new UnixListener(address.path, owner));
      return 0;
    }
    const listener = new TcpListener(address.host, address.port, owner);
    this.listeners.push(listener);
    return listener.address.port;
  }

  /** Answers what is under way, for a while, and hangs up; resolves when no command touches memory any more. */
  async close(): Promise<void> {
    const reason = 'the server stops';
    for (const listener of this.listeners) listener.close();
    for (const connection of [...this.connections]) connection.stop(reason);
    if (this.connections.size > 0) await this.lastConnection(STOP_GRACE);
    for (const connection of [...this.connections]) connection.close(reason);
    await Promise.all(this.exports.map(({ device }) => device.close()));
  }

  admits(connection: NbdConnection): boolean {
    return this.admission.enter(connection);
  }

  connectionClosed(connection: NbdConnection, reason: string): void {
    if (!this.connections.delete(connection)) return;
    this.admission.left(connection);
    if (this.connections.size === 0) this.allGone?.();
    const name = connection.exportName;
    if (name === undefined) this.strangers.add(`NBD: a connection ended: ${reason}`);
    else this.log.info(`NBD: a connection to "${name}" ended: ${reason}`);
  }

  connectionFailed(error: unknown): void {
    this.log.error(`NBD: a connection cannot go on: ${(error as Error).stack}`);
  }

  private lastConnection(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.allGone = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private accept(fd: number): void {
    const connection = new NbdConnection(fd, this);
    this.connections.add(connection);
    this.admission.arrived(connection);
  }
}
