/**
 * An iSCSI session (RFC 7143 4.4): one I_T nexus over one or more connections. It keeps the command window: the
 * order of commands by CmdSN, and back-pressure by MaxCmdSN.
 */

import type { Environment } from '../../scsi/environment.ts';
import { Nexus } from '../../scsi/nexus.ts';
import { abortNexus } from '../../scsi/task-management.ts';
import type { ScsiCommand } from './command.ts';
import type { Connection } from './connection.ts';
import { serialLess } from './iscsi-spec.ts';
import type { SessionParameters } from './parameters.ts';
import { type IscsiTarget, iscsiTransportId } from './target-node.ts';

/** Commands that an initiator may have under way. */
const WINDOW = 128;
/** Bytes of data buffers per session before further commands wait. */
const BUFFER_BUDGET = 64 << 20;

export class Session {
  readonly initiatorName: string;
  readonly isid: string;
  readonly tsih: number;
  readonly target: IscsiTarget;
  readonly parameters: SessionParameters;
  readonly nexus: Nexus;
  readonly environment: Environment;
  readonly connections = new Map<number, Connection>();
  /** By initiator task tag. */
  readonly commands = new Map<number, ScsiCommand>();
  expCmdSn: number;
  maxCmdSn: number;
  closed = false;
  /** Commands that arrived before their turn, by CmdSN. */
  private readonly early = new Map<number, () => void>();
  private bufferBytes = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(options: {
    initiatorName: string;
    isid: string;
    tsih: number;
    target: IscsiTarget;
    parameters: SessionParameters;
    environment: Environment;
    firstCmdSn: number;
  }) {
    this.initiatorName = options.initiatorName;
    this.isid = options.isid;
    this.tsih = options.tsih;
    this.target = options.target;
    this.parameters = options.parameters;
    this.environment = options.environment;
    this.expCmdSn = options.firstCmdSn;
    this.maxCmdSn = (options.firstCmdSn + WINDOW - 1) >>> 0;
    const transportId = iscsiTransportId(options.initiatorName, options.isid);
    this.nexus = new Nexus(
      { name: `${options.initiatorName},i,0x${options.isid}`, transportId },
      options.target.targetPort,
      options.target.lunMap(options.initiatorName),
    );
  }

  /** Runs `deliver` when every command before `cmdSn` was delivered; what is outside the window is ignored. */
  sequence(cmdSn: number, deliver: () => void): void {
    if (serialLess(cmdSn, this.expCmdSn) || serialLess(this.maxCmdSn, cmdSn) || this.early.has(cmdSn)) return;
    this.early.set(cmdSn, deliver);
    for (let next = this.early.get(this.expCmdSn); next !== undefined; next = this.early.get(this.expCmdSn)) {
      this.early.delete(this.expCmdSn);
      this.expCmdSn = (this.expCmdSn + 1) >>> 0;
      next();
    }
  }

  /** The window as responses carry it: never narrower than it once was (RFC 7143 4.2.2.1). */
  updateWindow(): number {
    const room = this.waiting.length > 0 ? 0 : Math.max(0, WINDOW - this.commands.size);
    const candidate = (this.expCmdSn + room - 1) >>> 0;
    if (serialLess(this.maxCmdSn, candidate)) this.maxCmdSn = candidate;
    return this.maxCmdSn;
  }

  /** Runs `start` when the session's buffers have room for `bytes` more. */
  reserve(bytes: number, start: () => void): void {
    if (this.bufferBytes > 0 && this.bufferBytes + bytes > BUFFER_BUDGET) {
      this.waiting.push(() => this.reserve(bytes, start));
      return;
    }
    this.bufferBytes += bytes;
    start();
  }

  unreserve(bytes: number): void {
    this.bufferBytes -= bytes;
    this.waiting.shift()?.();
  }

  /** One of several connections is gone, and with it the commands that came over it. */
  connectionLost(connection: Connection): void {
    for (const command of [...this.commands.values()]) command.connectionLost(connection);
  }

  /** Ends all connections and tasks; resolves when no task touches a buffer any more. */
  close(reason: string): Promise<void> {
    if (this.closed) return Promise.resolve();
    this.closed = true;
    this.early.clear();
    this.waiting.length = 0;
    for (const connection of [...this.connections.values()]) connection.close(reason);
    for (const command of [...this.commands.values()]) command.abandon();
    return new Promise((resolve) => {
      abortNexus(this.nexus, () => {
        this.nexus.close();
        resolve();
      });
    });
  }
}
