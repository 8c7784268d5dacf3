/**
 * A virtual machine's way to a target: a unix socket on which one front-end (QEMU) is met at a time, and any number
 * of times in a row. The nexus stays over all of them, so reservations and unit attentions do. A front-end has no
 * name, so only its socket tells it from others: several guests need several of these.
 */
import { addon } from '../../native/addon.ts';
import { LunportError } from '../../native/errno.ts';
import type { IoEngine } from '../../native/io-engine.ts';
import type { RegionMemory } from '../../native/memory.ts';
import { UnixListener, type UnixListenerOwner } from '../../native/unix-socket.ts';
import type { Environment } from '../../scsi/environment.ts';
import type { LunMap } from '../../scsi/lun-map.ts';
import { Nexus } from '../../scsi/nexus.ts';
import type { InitiatorPort, TargetPort } from '../../scsi/port.ts';
import { Connection } from './connection.ts';
import { FrontEndDialler } from './front-end-dialler.ts';
import type { Logger } from './logger.ts';
import type { RingPoller } from './ring-poller.ts';
import { ScsiDevice } from './scsi-device.ts';
import type { DeviceHost, RequestCounters, VirtioDevice } from './virtio-device.ts';
import type { VringCounters } from './vring.ts';

/**
 * How long a second front-end may wait for the first one's end, milliseconds: a QEMU that restarts is often
 * there before the old connection's end has been seen.
 */
const SUCCESSION_GRACE = 1000;

/** Who waits at the socket: we do ('listen'), or the front-end does ('connect'). */
export type SocketRole = 'listen' | 'connect';

export interface VhostUserTargetOptions {
  readonly socketPath: string;
  /** Default: listen. */
  readonly role?: SocketRole;
  readonly engine: IoEngine;
  readonly memory: RegionMemory;
  /** Shared by all of a shard; without it, nothing spins. */
  readonly poller?: RingPoller;
  readonly environment: Environment;
  readonly lunMap: LunMap;
  /** Its name comes from configuration, so that registrations survive a restart. */
  readonly initiatorPort: InitiatorPort;
  readonly targetPort: TargetPort;
  readonly logger: Logger;
  /** The number by which guests address this target; default 0, as QEMU's `boot_tpgt`. */
  readonly targetNumber?: number;
  /** Until it resolves, requests wait: the disks are not there yet. */
  readonly ready?: Promise<void>;
  /** Makes the device of a connection; default: a virtio SCSI host device on the nexus. */
  readonly createDevice?: (host: DeviceHost) => VirtioDevice;
  /** Offers the configuration space (CONFIG), for front-ends that have none of their own; default false. */
  readonly offerConfig?: boolean;
}

export interface RingState extends VringCounters {
  readonly index: number;
  /** Descriptors. */
  readonly size: number;
  readonly started: boolean;
  readonly enabled: boolean;
  readonly inFlight: number;
}

export interface FrontEndState {
  readonly pid: number | undefined;
  /** As acknowledged, hexadecimal. */
  readonly features: string;
  readonly protocolFeatures: string;
  readonly memoryRegions: number;
  readonly rings: readonly RingState[];
  readonly requests: RequestCounters;
  /** Why the device does nothing; absent while it works. */
  readonly broken?: string;
}

export interface VhostUserTargetState {
  readonly socketPath: string;
  readonly role: SocketRole;
  readonly connects: number;
  /** Connections that ended because the front-end broke the protocol. */
  readonly protocolErrors: number;
  readonly frontEnd?: FrontEndState;
  readonly lastDisconnect?: string;
}

interface Session {
  readonly connection: Connection;
  readonly device: VirtioDevice;
  readonly pid: number | undefined;
}

export class VhostUserTarget implements UnixListenerOwner, Logger {
  readonly nexus: Nexus;
  private readonly options: VhostUserTargetOptions;
  private listener: UnixListener | undefined = undefined;
  private dialler: FrontEndDialler | undefined = undefined;
  private session: Session | undefined = undefined;
  /** A front-end that connected while another one was there. */
  private waiting: number | undefined = undefined;
  private succession: NodeJS.Timeout | undefined = undefined;
  private connects = 0;
  private protocolErrors = 0;
  private lastDisconnect: string | undefined = undefined;

  constructor(options: VhostUserTargetOptions) {
    this.options = options;
    this.nexus = new Nexus(options.initiatorPort, options.targetPort, options.lunMap);
  }

  /** Listens, or starts to look for the front-end that does. Throws LunportError when the socket cannot be had. */
  open(): void {
    const { socketPath, role } = this.options;
    if (role === 'connect') {
      this.dialler = new FrontEndDialler(socketPath, {
        connected: (fd) => {
          if (!this.serve(fd)) this.dialler?.again();
        },
        waiting: (reason) => this.info(`waits for a front-end: ${reason}`),
      });
      this.dialler.dial();
      return;
    }
    try {
      this.listener = new UnixListener(socketPath, this);
    } catch (error) {
      throw withHolder(error, socketPath);
    }
  }

  /** Answers what runs, lets the front-end go, removes the socket. */
  async close(): Promise<void> {
    this.listener?.close();
    this.dialler?.close();
    this.refuseWaiting();
    const { session } = this;
    if (session !== undefined) {
      session.connection.end('lunport stops', true);
      await session.connection.closed;
    }
    this.nexus.close();
  }

  /** For the control plane. */
  get state(): VhostUserTargetState {
    const { session, connects, protocolErrors, lastDisconnect } = this;
    return {
      socketPath: this.options.socketPath,
      role: this.options.role ?? 'listen',
      connects,
      protocolErrors,
      ...(session === undefined ? {} : { frontEnd: frontEndState(session) }),
      ...(lastDisconnect === undefined ? {} : { lastDisconnect }),
    };
  }

  connected(fd: number): void {
    if (this.session === undefined) {
      this.serve(fd);
    } else if (this.waiting !== undefined) {
      this.warn('a further front-end was refused, one waits already');
      addon.close(fd);
    } else {
      this.waiting = fd;
      this.succession = setTimeout(() => {
        this.warn(`a second front-end was refused, process ${this.session?.pid} uses the target`);
        this.refuseWaiting();
      }, SUCCESSION_GRACE);
    }
  }

  acceptFailed(error: Error): void {
    this.warn(error.message);
  }

  private refuseWaiting(): void {
    clearTimeout(this.succession);
    if (this.waiting !== undefined) addon.close(this.waiting);
    this.waiting = undefined;
  }

  /** False when the connection could not be had. */
  private serve(fd: number): boolean {
    const { targetNumber = 0, environment, createDevice } = this.options;
    const peer = addon.peerCredentials(fd);
    const pid = typeof peer === 'number' ? undefined : peer.pid;
    let device: VirtioDevice | undefined;
    try {
      const connection = new Connection(fd, {
        ...this.options,
        logger: this,
        createDevice: (host: DeviceHost): VirtioDevice => {
          device =
            createDevice?.(host) ?? new ScsiDevice(host, { nexus: this.nexus, environment, targetNumber });
          return device;
        },
      });
      this.session = { connection, device: device!, pid };
      this.connects++;
      this.info(`process ${pid} connected`);
      void connection.closed.then((reason) => {
        if (connection.breached) this.protocolErrors++;
        this.ended(reason, pid);
      });
      return true;
    } catch (error) {
      this.warn(`process ${pid} was refused: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  }

  private ended(reason: string, pid: number | undefined): void {
    this.info(`process ${pid} is gone: ${reason}`);
    this.lastDisconnect = reason;
    this.session = undefined;
    const next = this.waiting;
    this.waiting = undefined;
    clearTimeout(this.succession);
    if (next !== undefined) this.serve(next);
    this.dialler?.again();
  }

  info(message: string): void {
    this.options.logger.info(`${this.options.socketPath}: ${message}`);
  }

  warn(message: string): void {
    this.options.logger.warn(`${this.options.socketPath}: ${message}`);
  }

  error(message: string): void {
    this.options.logger.error(`${this.options.socketPath}: ${message}`);
  }
}

/** Says which process listens on the socket already, where that is the trouble. */
function withHolder(error: unknown, path: string): unknown {
  if (!(error instanceof LunportError) || error.code !== 'EADDRINUSE') return error;
  const probe = addon.unixConnect(path);
  if (probe < 0) return error;
  const peer = addon.peerCredentials(probe);
  addon.close(probe);
  if (typeof peer === 'number') return error;
  return new LunportError({
    code: error.code,
    object: path,
    message: `Cannot listen on ${path}: process ${peer.pid} does already`,
    hint: error.hint,
    cause: error,
  });
}

function frontEndState({ connection, device, pid }: Session): FrontEndState {
  const { backEnd, protocolFeatures } = connection;
  const { brokenReason } = backEnd.rings;
  return {
    pid,
    features: `0x${backEnd.features.toString(16)}`,
    protocolFeatures: `0x${protocolFeatures.toString(16)}`,
    memoryRegions: backEnd.table.mapped.length,
    rings: backEnd.rings.all().map(({ index, size, started, enabled, queue, counters }) => ({
      index,
      size,
      started,
      enabled,
      inFlight: queue?.inFlight ?? 0,
      ...counters,
    })),
    requests: { ...device.counters },
    ...(brokenReason === undefined ? {} : { broken: brokenReason }),
  };
}
