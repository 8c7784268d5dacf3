/**
 * A target port for virtual machines: a unix socket to which a front-end (QEMU) connects, one at a time and any
 * number of times in a row. The nexus stays over all of them, so reservations and unit attentions do.
 */
import { addon } from '../../native/addon.ts';
import type { IoEngine } from '../../native/io-engine.ts';
import type { RegionMemory } from '../../native/memory.ts';
import type { Environment } from '../../scsi/environment.ts';
import type { LunMap } from '../../scsi/lun-map.ts';
import { Nexus } from '../../scsi/nexus.ts';
import type { InitiatorPort, TargetPort } from '../../scsi/port.ts';
import { Connection } from './connection.ts';
import { Listener } from './listener.ts';
import type { Logger } from './logger.ts';
import { type ScsiCounters, ScsiDevice } from './scsi-device.ts';
import type { DeviceHost, VirtioDevice } from './virtio-device.ts';
import type { VringCounters } from './vring.ts';

/**
 * How long a second front-end may wait for the first one's end, milliseconds: a QEMU that restarts is often
 * there before the old connection's end has been seen.
 */
const SUCCESSION_GRACE = 1000;

export interface VhostUserTargetOptions {
  readonly socketPath: string;
  readonly engine: IoEngine;
  readonly memory: RegionMemory;
  readonly environment: Environment;
  readonly lunMap: LunMap;
  /** Its name comes from configuration, so that registrations survive a restart. */
  readonly initiatorPort: InitiatorPort;
  readonly targetPort: TargetPort;
  readonly logger: Logger;
  /** The number by which guests address this target; default 0, as QEMU's `boot_tpgt`. */
  readonly targetNumber?: number;
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
  readonly requests: ScsiCounters;
  /** Why the device does nothing; absent while it works. */
  readonly broken?: string;
}

export interface VhostUserTargetState {
  readonly socketPath: string;
  readonly connects: number;
  readonly frontEnd?: FrontEndState;
  readonly lastDisconnect?: string;
}

interface Session {
  readonly connection: Connection;
  readonly device: ScsiDevice;
  readonly pid: number | undefined;
}

export class VhostUserTarget {
  readonly nexus: Nexus;
  private readonly options: VhostUserTargetOptions;
  private listener: Listener | undefined = undefined;
  private session: Session | undefined = undefined;
  /** A front-end that connected while another one was there. */
  private waiting: number | undefined = undefined;
  private succession: NodeJS.Timeout | undefined = undefined;
  private connects = 0;
  private lastDisconnect: string | undefined = undefined;
  private closing = false;

  constructor(options: VhostUserTargetOptions) {
    this.options = options;
    this.nexus = new Nexus(options.initiatorPort, options.targetPort, options.lunMap);
  }

  /** Throws LunportError when the socket cannot be had. */
  async listen(): Promise<void> {
    const { socketPath, logger } = this.options;
    this.listener = new Listener(
      socketPath,
      (fd) => this.accepted(fd),
      (error) => logger.warn({ error, socketPath }, 'a front-end could not be accepted'),
    );
  }

  /** Answers what runs, lets the front-end go, removes the socket. */
  async close(): Promise<void> {
    this.closing = true;
    this.listener?.close();
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
    const { session, connects, lastDisconnect } = this;
    return {
      socketPath: this.options.socketPath,
      connects,
      ...(session === undefined ? {} : { frontEnd: frontEndState(session) }),
      ...(lastDisconnect === undefined ? {} : { lastDisconnect }),
    };
  }

  private accepted(fd: number): void {
    if (this.session === undefined) {
      this.serve(fd);
      return;
    }
    // One more does not wait along: the socket's own queue holds it.
    this.waiting = fd;
    this.listener?.pause();
    this.succession = setTimeout(() => {
      const { pid } = this.session ?? {};
      this.options.logger.warn(
        { socketPath: this.options.socketPath, pid },
        'a second front-end was refused',
      );
      this.refuseWaiting();
      this.listener?.resume();
    }, SUCCESSION_GRACE);
  }

  private refuseWaiting(): void {
    clearTimeout(this.succession);
    if (this.waiting !== undefined) addon.close(this.waiting);
    this.waiting = undefined;
  }

  private serve(fd: number): void {
    const { socketPath, logger, targetNumber = 0, environment } = this.options;
    const peer = addon.peerCredentials(fd);
    const pid = typeof peer === 'number' ? undefined : peer.pid;
    let device: ScsiDevice | undefined;
    try {
      const connection = new Connection(fd, {
        ...this.options,
        createDevice: (host: DeviceHost): VirtioDevice => {
          device = new ScsiDevice(host, { nexus: this.nexus, environment, targetNumber });
          return device;
        },
      });
      this.session = { connection, device: device!, pid };
      this.connects++;
      logger.info({ socketPath, pid }, 'a front-end connected');
      void connection.closed.then((reason) => this.ended(reason, pid));
    } catch (error) {
      logger.warn({ error, socketPath, pid }, 'a front-end was refused');
    }
  }

  private ended(reason: string, pid: number | undefined): void {
    const { socketPath, logger } = this.options;
    logger.info({ socketPath, pid, reason }, 'a front-end left');
    this.lastDisconnect = reason;
    this.session = undefined;
    const next = this.waiting;
    this.waiting = undefined;
    clearTimeout(this.succession);
    if (this.closing) return;
    if (next !== undefined) this.serve(next);
    this.listener?.resume();
  }
}

function frontEndState({ connection, device, pid }: Session): FrontEndState {
  const { backEnd, protocolFeatures } = connection;
  const { brokenReason } = backEnd;
  return {
    pid,
    features: `0x${backEnd.features.toString(16)}`,
    protocolFeatures: `0x${protocolFeatures.toString(16)}`,
    memoryRegions: backEnd.space.mapped.length,
    rings: backEnd.rings
      .filter((vring) => vring !== undefined)
      .map(({ index, size, started, enabled, queue, counters }) => ({
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
