/**
 * The iSCSI network entity: its portals, the sessions that came in through them, and what concerns all of them
 * (RFC 7143 4.4): who enters which session, discovery, limits, half-open connections, the end.
 */
import type { IoEngine } from '../../native/io-engine.ts';
import { ChunkList } from '../../native/stream-socket.ts';
import type { Environment } from '../../scsi/environment.ts';
import { Admission } from '../admission.ts';
import { ComplaintLog } from '../complaint-log.ts';
import { requestLogout } from './async-message.ts';
import { TotalBudget } from './buffer-budget.ts';
import { CommandPool } from './command-pool.ts';
import type { Connection } from './connection.ts';
import { HeldBytes } from './held-bytes.ts';
import { InputBuffers } from './input-buffers.ts';
import { LoginStatus } from './iscsi-spec.ts';
import { KeepAlive } from './keep-alive.ts';
import type { LoginPhase } from './login.ts';
import { OutputBatch } from './output-batch.ts';
import { SlabPool } from './output-queue.ts';
import { Portal, type PortalAddress } from './portal.ts';
import { Session } from './session.ts';
import { type AccessControl, type IscsiTarget, OPEN_ACCESS } from './target-node.ts';

/** Milliseconds that initiators get to log out when the target stops. */
export const LOGOUT_GRACE = 2000;
/** Milliseconds from connecting to the full feature phase. */
const LOGIN_TIMEOUT = 15_000;

export interface NodeLog {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export interface NodeOptions {
  readonly environment: Environment;
  readonly log: NodeLog;
  /** Whose batches the answers of a round go out with; absent in tests without one. */
  readonly engine?: IoEngine;
  /** Milliseconds of silence before a ping. */
  readonly pingInterval?: number;
  /** Milliseconds. */
  readonly loginTimeout?: number;
}

/** How a login ended: its status, and the session's handle. */
export interface Entry {
  readonly status: number;
  readonly tsih: number;
}

const refused = (status: number): Entry => ({ status, tsih: 0 });

export class IscsiNode {
  readonly environment: Environment;
  readonly log: NodeLog;
  readonly portals: Portal[] = [];
  // What all connections share, one at a time or by turns: an idle one holds next to nothing.
  readonly batch: OutputBatch;
  readonly slabs = new SlabPool();
  readonly commands = new CommandPool();
  readonly inputs: InputBuffers;
  readonly chunks = new ChunkList();
  readonly loginTimeout: number;
  /** What discovery sessions must prove. */
  discoveryAccess: AccessControl = OPEN_ACCESS;
  private readonly sessions = new Map<string, Session>();
  /** Sessions that end, by key: a new one with that key must wait for them. */
  private readonly closing = new Map<string, Promise<void>>();
  /** Connections whose login is done but for the end of an old session. */
  private readonly entering = new Map<string, Connection>();
  private readonly admission = new Admission();
  /** Connections that ended because the initiator broke the protocol. */
  breaches = 0;
  readonly complaints: ComplaintLog;
  private readonly budget = new TotalBudget();
  readonly held = new HeldBytes();
  private readonly keepAlive: KeepAlive;
  private nextTsih = 1;
  private stopping = false;
  /** Resolves the wait for initiators that log out. */
  private allGone: (() => void) | undefined = undefined;

  constructor({ environment, log, engine, pingInterval, loginTimeout = LOGIN_TIMEOUT }: NodeOptions) {
    this.environment = environment;
    this.batch = new OutputBatch(engine);
    this.inputs = new InputBuffers(environment.memory);
    this.log = log;
    this.loginTimeout = loginTimeout;
    this.complaints = new ComplaintLog((message) => log.warn(message));
    this.keepAlive = new KeepAlive(pingInterval);
  }

  /** Listens; throws LunportError when the address cannot be had. */
  openPortal(address: PortalAddress, targets: readonly IscsiTarget[]): Portal {
    const portal = new Portal(this, address, targets);
    this.portals.push(portal);
    return portal;
  }

  /** Ends everything. With `grace`, initiators are asked to log out first, and get so many milliseconds for it. */
  async close(grace = 0): Promise<void> {
    this.stopping = true;
    for (const portal of this.portals) portal.close();
    if (grace > 0 && this.sessions.size > 0) await this.askToLogOut(grace);
    for (const session of [...this.sessions.values()]) this.dropSession(session, 'the target stops');
    for (const connection of this.admission.allStrangers()) connection.close('the target stops');
    await Promise.all(this.closing.values());
    this.batch.close();
    this.inputs.close();
  }

  /** A connection came in. */
  welcome(connection: Connection): void {
    this.admission.arrived(connection);
  }

  /** What an operator may want to know of a connection, but for floods of it. Never a secret, nor text as it came. */
  complain({ initiatorName, peerHost }: Connection, what: string): void {
    const who = initiatorName === '' ? '' : ` (${initiatorName})`;
    this.complaints.add(`iSCSI: ${peerHost ?? 'a Unix socket'}${who}: ${what}`);
  }

  /** A connection has finished login: puts it into a session, new or existing. */
  async enter(connection: Connection, cmdSn: number): Promise<Entry> {
    const { login } = connection;
    if (this.stopping) return refused(LoginStatus.SERVICE_UNAVAILABLE);
    if (login.discovery) {
      this.keepAlive.add(connection);
      return { status: LoginStatus.SUCCESS, tsih: this.takeTsih() };
    }
    return login.tsih === 0 ? this.openSession(connection, cmdSn) : this.joinSession(connection);
  }

  connectionClosed(connection: Connection, reason: string): void {
    this.admission.left(connection);
    this.keepAlive.remove(connection);
    const { session } = connection;
    if (session?.connections.get(connection.login.cid) !== connection) return;
    session.connections.delete(connection.login.cid);
    // Error recovery level 0: the tasks of a lost connection are lost with it (RFC 7143 7.1.5).
    if (session.connections.size === 0) this.dropSession(session, reason);
    else void session.abortCommandsOf(connection);
  }

  /** Ends all sessions with targets of this name (TARGET COLD RESET: RFC 7143 11.5.1). */
  dropSessions(targetName: string, reason: string): void {
    for (const session of [...this.sessions.values()]) {
      if (session.target.name !== targetName) continue;
      for (const connection of [...session.connections.values()]) connection.finish(reason);
    }
  }

  /** Same initiator port and target portal group again: the old session is dead to its initiator (RFC 7143 6.3.5). */
  private async openSession(connection: Connection, cmdSn: number): Promise<Entry> {
    const { login } = connection;
    const key = keyOf(login);
    this.entering.get(key)?.close('the initiator logged in again');
    this.entering.set(key, connection);
    const existing = this.sessions.get(key);
    if (existing !== undefined) this.dropSession(existing, 'the initiator reinstated the session');
    // No write of the old session may reach the disk after the new one has begun.
    await this.closing.get(key);
    if (this.entering.get(key) === connection) this.entering.delete(key);
    if (connection.closeReason !== undefined || this.stopping)
      return refused(LoginStatus.SERVICE_UNAVAILABLE);
    if (!this.admission.enter(connection)) return refused(LoginStatus.OUT_OF_RESOURCES);
    const target = login.target!;
    const session = new Session({
      initiatorName: login.initiatorName,
      isid: login.isid,
      tsih: this.takeTsih(),
      target,
      parameters: login.parameters,
      environment: this.environment,
      firstCmdSn: cmdSn,
      totalBudget: this.budget,
      held: this.held,
    });
    this.sessions.set(key, session);
    this.log.info(`iSCSI: ${login.initiatorName} logged in to ${target.name}`);
    return this.addConnection(session, connection);
  }

  /** A further connection, or one that takes another's place (RFC 7143 6.3.4, 6.3.6). */
  private async joinSession(connection: Connection): Promise<Entry> {
    const { login } = connection;
    const session = this.sessions.get(keyOf(login));
    if (session?.tsih !== login.tsih) return refused(LoginStatus.SESSION_DOES_NOT_EXIST);
    const { connections } = session;
    for (let old = connections.get(login.cid); old !== undefined; old = connections.get(login.cid)) {
      connections.delete(login.cid);
      old.close('the initiator reinstated the connection');
      await session.abortCommandsOf(old);
    }
    if (session.closed) return refused(LoginStatus.SESSION_DOES_NOT_EXIST);
    if (connection.closeReason !== undefined) {
      if (connections.size === 0) this.dropSession(session, connection.closeReason);
      return refused(LoginStatus.SERVICE_UNAVAILABLE);
    }
    if (connections.size >= session.parameters.maxConnections)
      return refused(LoginStatus.TOO_MANY_CONNECTIONS);
    if (!this.admission.enter(connection)) {
      if (connections.size === 0) this.dropSession(session, 'no room for a connection in place of its last');
      return refused(LoginStatus.OUT_OF_RESOURCES);
    }
    return this.addConnection(session, connection);
  }

  private addConnection(session: Session, connection: Connection): Entry {
    session.connections.set(connection.login.cid, connection);
    connection.session = session;
    this.keepAlive.add(connection);
    return { status: LoginStatus.SUCCESS, tsih: session.tsih };
  }

  private dropSession(session: Session, reason: string): void {
    const key = keyOf(session);
    if (this.sessions.get(key) !== session) return;
    this.sessions.delete(key);
    this.log.info(`iSCSI: session of ${session.initiatorName} with ${session.target.name} ends: ${reason}`);
    const closed = session.close(reason).finally(() => {
      if (this.closing.get(key) === closed) this.closing.delete(key);
    });
    this.closing.set(key, closed);
    if (this.sessions.size === 0) this.allGone?.();
  }

  private async askToLogOut(grace: number): Promise<void> {
    for (const session of this.sessions.values()) {
      for (const connection of session.connections.values())
        requestLogout(connection, Math.ceil(grace / 1000));
    }
    await new Promise<void>((resolve) => {
      this.allGone = resolve;
      setTimeout(resolve, grace);
    });
  }

  private takeTsih(): number {
    const tsih = this.nextTsih;
    this.nextTsih = (this.nextTsih % 0xffff) + 1;
    return tsih;
  }
}

/** What makes a session one of a kind: the initiator port and the target portal group. */
function keyOf(of: Session | LoginPhase): string {
  const target = of.target!;
  return `${of.initiatorName} ${of.isid} ${target.name} ${target.portalGroupTag}`;
}
