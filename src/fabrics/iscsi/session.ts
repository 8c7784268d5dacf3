/**
 * An iSCSI session (RFC 7143 4.4): one I_T nexus over one or more connections, with its commands and its limits.
 */
import type { Environment } from '../../scsi/environment.ts';
import { Nexus, type NexusListener } from '../../scsi/nexus.ts';
import { abortNexus } from '../../scsi/task-management.ts';
import { lunsChanged } from './async-message.ts';
import { BufferBudget, type TotalBudget } from './buffer-budget.ts';
import { CommandTable } from './command-table.ts';
import { CommandWindow, WINDOW } from './command-window.ts';
import type { Connection } from './connection.ts';
import type { HeldBytes } from './held-bytes.ts';
import type { SessionParameters } from './parameters.ts';
import { type IscsiTarget, iscsiTransportId } from './target-node.ts';

/** Commands under way, immediate ones included: those do not heed the window. */
const MAX_COMMANDS = WINDOW + 32;
/** Task management functions under way. */
const MAX_FUNCTIONS = 32;

export interface SessionOptions {
  readonly initiatorName: string;
  readonly isid: string;
  readonly tsih: number;
  readonly target: IscsiTarget;
  readonly parameters: SessionParameters;
  readonly environment: Environment;
  readonly firstCmdSn: number;
  readonly totalBudget: TotalBudget;
  readonly held: HeldBytes;
}

export class Session implements NexusListener {
  readonly initiatorName: string;
  readonly isid: string;
  readonly tsih: number;
  readonly target: IscsiTarget;
  readonly parameters: SessionParameters;
  readonly nexus: Nexus;
  readonly environment: Environment;
  /** By CID. */
  readonly connections = new Map<number, Connection>();
  readonly commands = new CommandTable();
  readonly window: CommandWindow;
  readonly budget: BufferBudget;
  readonly held: HeldBytes;
  /** Task management functions that have no response yet. */
  functions = 0;
  private closing: Promise<void> | undefined = undefined;

  constructor(options: SessionOptions) {
    this.initiatorName = options.initiatorName;
    this.isid = options.isid;
    this.tsih = options.tsih;
    this.target = options.target;
    this.parameters = options.parameters;
    this.environment = options.environment;
    this.held = options.held;
    this.window = new CommandWindow(options.firstCmdSn, options.held);
    this.budget = new BufferBudget(options.totalBudget);
    const transportId = iscsiTransportId(options.initiatorName, options.isid);
    this.nexus = new Nexus(
      { name: `${options.initiatorName},i,0x${options.isid}`, transportId },
      options.target.targetPort,
      options.target.lunMap(options.initiatorName),
      this,
    );
  }

  get closed(): boolean {
    return this.closing !== undefined;
  }

  /** Whether an immediate command may still be taken (RFC 7143 4.2.2.1). */
  get takesCommands(): boolean {
    return this.commands.size < MAX_COMMANDS;
  }

  get takesFunctions(): boolean {
    return this.functions < MAX_FUNCTIONS;
  }

  /** MaxCmdSN for a response. */
  maxCmdSn(): number {
    return this.window.advance(this.budget.exhausted ? 0 : Math.max(0, WINDOW - this.commands.size));
  }

  unitAdded(lun: number): void {
    this.announce(lun);
  }

  unitRemoved(lun: number): void {
    this.announce(lun);
  }

  /** Initiators hear of these with their next command. */
  unitAttention(): void {}

  /** A connection is gone from `connections`; resolves when none of the commands that came over it runs any more. */
  abortCommandsOf(connection: Connection): Promise<void> {
    const own = this.commands.all().filter((command) => command.connection === connection);
    return Promise.all(own.map((command) => command.abort())).then(() => {});
  }

  /** Ends all tasks without a status, and keeps the nexus; resolves when none touches a buffer any more. */
  abortCommands(): Promise<void> {
    this.window.clear();
    this.budget.clear();
    for (const command of this.commands.all()) command.abandonTransfer();
    return new Promise((resolve) => abortNexus(this.nexus, resolve));
  }

  /** Ends all connections and tasks; resolves when no task touches a buffer any more. */
  close(reason: string): Promise<void> {
    this.closing ??= this.end(reason);
    return this.closing;
  }

  private async end(reason: string): Promise<void> {
    for (const connection of [...this.connections.values()]) connection.close(reason);
    await this.abortCommands();
    this.nexus.close();
  }

  private announce(lun: number): void {
    for (const connection of this.connections.values()) {
      lunsChanged(connection, lun);
      return;
    }
  }
}
