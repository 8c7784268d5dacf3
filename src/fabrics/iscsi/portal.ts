/**
 * A network portal: listens, takes connections in, and holds the sessions of the targets that it offers
 * (RFC 7143 4.4). Discovery, session reinstatement and limits are decided here.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Environment } from '../../scsi/environment.ts';
import { Connection } from './connection.ts';
import { LoginStatus } from './iscsi-spec.ts';
import type { LoginDirectory } from './login.ts';
import { Session } from './session.ts';
import { type AccessControl, type IscsiTarget, OPEN_ACCESS } from './target-node.ts';

/** Connections that are not yet, or not, in a session; a login flood gets no further. */
const MAX_STRANGERS = 1024;
const MAX_SESSIONS = 4096;

export interface PortalAddress {
  /** IP address to listen on, or absent with `path`. */
  readonly host?: string;
  readonly port?: number;
  /** A Unix socket instead, for tests. */
  readonly path?: string;
}

export interface PortalLog {
  info(message: string): void;
  warn(message: string): void;
}

export class Portal implements LoginDirectory {
  readonly discoveryAccess: AccessControl = OPEN_ACCESS;
  readonly environment: Environment;
  private readonly log: PortalLog;
  private readonly targets = new Map<string, IscsiTarget>();
  private readonly sessions = new Set<Session>();
  private readonly connections = new Set<Connection>();
  private readonly closing = new Set<Promise<void>>();
  private server: Server | undefined = undefined;
  private nextTsih = 1;

  constructor(environment: Environment, log: PortalLog) {
    this.environment = environment;
    this.log = log;
  }

  addTarget(target: IscsiTarget): void {
    this.targets.set(target.name, target);
  }

  target(name: string): IscsiTarget | undefined {
    return this.targets.get(name);
  }

  /** Resolves with the address in use; rejects with Node's error when it cannot be had. */
  listen(address: PortalAddress): Promise<{ host: string; port: number }> {
    const server = createServer((socket) => this.accept(socket));
    this.server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address.host, port: address.port, path: address.path }, () => {
        server.off('error', reject);
        const bound = server.address();
        if (bound === null || typeof bound === 'string') resolve({ host: bound ?? '', port: 0 });
        else resolve({ host: bound.address, port: bound.port });
      });
    });
  }

  async close(): Promise<void> {
    this.server?.close();
    for (const session of [...this.sessions]) this.dropSession(session, 'the target stops');
    for (const connection of [...this.connections]) connection.close('the target stops');
    await Promise.all(this.closing);
  }

  /** A connection has finished login: puts it into a session, new or existing. */
  enter(connection: Connection, cmdSn: number): { status: number; tsih: number } {
    const { login } = connection;
    if (login.discovery) return { status: LoginStatus.SUCCESS, tsih: this.takeTsih() };
    const target = login.target!;
    const same = (session: Session) =>
      session.initiatorName === login.initiatorName &&
      session.isid === login.isid &&
      session.target === target;
    const existing = [...this.sessions].find(same);
    if (login.tsih !== 0) {
      if (existing === undefined || existing.tsih !== login.tsih)
        return { status: LoginStatus.SESSION_DOES_NOT_EXIST, tsih: 0 };
      existing.connections.get(login.cid)?.close('the initiator reinstated the connection');
      if (existing.closed) return { status: LoginStatus.SESSION_DOES_NOT_EXIST, tsih: 0 };
      if (existing.connections.size >= existing.parameters.maxConnections) {
        return { status: LoginStatus.TOO_MANY_CONNECTIONS, tsih: 0 };
      }
      existing.connections.set(login.cid, connection);
      connection.session = existing;
      return { status: LoginStatus.SUCCESS, tsih: existing.tsih };
    }
    // Same name and ISID again: the old session is dead to its initiator (RFC 7143 6.3.5).
    if (existing !== undefined) this.dropSession(existing, 'the initiator reinstated the session');
    if (this.sessions.size >= MAX_SESSIONS) return { status: LoginStatus.OUT_OF_RESOURCES, tsih: 0 };
    const session = new Session({
      initiatorName: login.initiatorName,
      isid: login.isid,
      tsih: this.takeTsih(),
      target,
      parameters: login.parameters,
      environment: this.environment,
      firstCmdSn: cmdSn,
    });
    session.connections.set(login.cid, connection);
    connection.session = session;
    this.sessions.add(session);
    this.log.info(`iSCSI: ${login.initiatorName} logged in to ${target.name}`);
    return { status: LoginStatus.SUCCESS, tsih: session.tsih };
  }

  connectionClosed(connection: Connection, reason: string): void {
    this.connections.delete(connection);
    const { session } = connection;
    if (session === undefined) return;
    session.connections.delete(connection.login.cid);
    // Error recovery level 0: the tasks of a lost connection are lost with it (RFC 7143 7.1.5).
    if (session.connections.size === 0) this.dropSession(session, reason);
    else session.connectionLost(connection);
  }

  dropSessions(target: IscsiTarget, reason: string): void {
    for (const session of [...this.sessions])
      if (session.target === target) this.dropSession(session, reason);
  }

  /** TargetName and TargetAddress pairs (RFC 7143 appendix C). */
  sendTargets(connection: Connection, wanted: string): [string, string][] {
    const { initiatorName, session, socket } = connection;
    const pairs: [string, string][] = [];
    for (const target of this.targets.values()) {
      if (!target.access.admits(initiatorName)) continue;
      const asked =
        wanted === 'All' ||
        wanted.toLowerCase() === target.name ||
        (wanted === '' && session?.target === target);
      if (!asked) continue;
      pairs.push(['TargetName', target.name]);
      if (target.alias !== '') pairs.push(['TargetAlias', target.alias]);
      pairs.push(['TargetAddress', `${printableAddress(socket)},${target.portalGroupTag}`]);
    }
    return pairs;
  }

  private accept(socket: Socket): void {
    if (this.connections.size - this.sessions.size >= MAX_STRANGERS) {
      this.log.warn('iSCSI: too many connections without a session; one more is refused');
      socket.destroy();
      return;
    }
    this.connections.add(new Connection(socket, this));
  }

  private dropSession(session: Session, reason: string): void {
    if (!this.sessions.delete(session)) return;
    this.log.info(`iSCSI: session of ${session.initiatorName} with ${session.target.name} ends: ${reason}`);
    const closed = session.close(reason);
    this.closing.add(closed);
    void closed.finally(() => this.closing.delete(closed));
  }

  private takeTsih(): number {
    const tsih = this.nextTsih;
    this.nextTsih = (this.nextTsih % 0xffff) + 1;
    return tsih;
  }
}

function printableAddress(socket: Socket): string {
  const { localAddress = '127.0.0.1', localPort = 0 } = socket;
  const plain = localAddress.replace(/^::ffff:/, '');
  return `${plain.includes(':') ? `[${plain}]` : plain}:${localPort}`;
}
