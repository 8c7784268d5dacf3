/**
 * I_T nexus and I_T_L nexus (SAM-5 4.6): an initiator port's session with a target port, and its relation to one
 * logical unit. Unit attentions, write protection by LUN mapping and other per-initiator state hang off these.
 */
import { UaIntlck } from './control-mode.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { LunMap } from './lun-map.ts';
import type { InitiatorPort, TargetPort } from './port.ts';
import { Sense, type SenseCode } from './sense-spec.ts';
import { Status } from './status-spec.ts';
import { UnitAttentionQueue } from './unit-attention.ts';

/** What a fabric hears about its nexus, for transports that can tell the initiator at once. */
export interface NexusListener {
  /** A LUN appeared. */
  unitAdded(lun: number): void;
  /** A LUN vanished. */
  unitRemoved(lun: number): void;
  /** A unit attention was established on `lun`. */
  unitAttention(lun: number, code: number): void;
}

/** I_T_L nexus. */
export class ItlNexus {
  readonly nexus: Nexus;
  readonly lun: number;
  readonly logicalUnit: LogicalUnit;
  /** Write protection of this mapping alone (LIO's mapped LUN write_protect). */
  readonly writeProtected: boolean;
  readonly unitAttentions: UnitAttentionQueue;
  /** PREVENT ALLOW MEDIUM REMOVAL holds per I_T nexus (SPC-4 6.17). */
  preventsRemoval = false;

  constructor(nexus: Nexus, lun: number, logicalUnit: LogicalUnit, writeProtected: boolean) {
    this.nexus = nexus;
    this.lun = lun;
    this.logicalUnit = logicalUnit;
    this.writeProtected = writeProtected;
    this.unitAttentions = new UnitAttentionQueue(() => nexus.hasForgotten(this));
  }

  /** Establishes a unit attention condition for this initiator on this logical unit (SAM-5 5.14). */
  establish(attention: { readonly key: number; readonly code: number }): void {
    this.unitAttentions.establish(attention);
    this.nexus.listener?.unitAttention(this.lun, attention.code);
  }

  /** A command has ended with `status`: where unit attentions are interlocked, the initiator hears of it again. */
  ended(status: Status): void {
    if (this.logicalUnit.control.uaIntlck !== UaIntlck.ESTABLISH_ON_BUSY) return;
    const attention = INTERLOCKED.get(status);
    if (attention !== undefined) this.establish(attention);
  }
}

/** What UA_INTLCK_CTRL 11b makes of statuses (SPC-4 7.5.8). */
const INTERLOCKED: ReadonlyMap<Status, SenseCode> = new Map([
  [Status.BUSY, Sense.PREVIOUS_BUSY_STATUS],
  [Status.TASK_SET_FULL, Sense.PREVIOUS_TASK_SET_FULL_STATUS],
  [Status.RESERVATION_CONFLICT, Sense.PREVIOUS_RESERVATION_CONFLICT_STATUS],
]);

/** I_T nexus. Made by a fabric when an initiator connects; `close` is I_T nexus loss. */
export class Nexus {
  readonly initiatorPort: InitiatorPort;
  readonly targetPort: TargetPort;
  readonly lunMap: LunMap;
  listener: NexusListener | undefined;
  private readonly units = new Map<number, ItlNexus>();
  /** Units that are mapped no more but still have tasks of ours. */
  private readonly leaving = new Set<ItlNexus>();
  /** Units on which REPORTED LUNS DATA HAS CHANGED may not be pending: those that hear of the next change. */
  private readonly untold = new Set<ItlNexus>();
  /** LUN 0 to 255 again, since a Map lookup per command is dearer than an index. */
  private readonly lowUnits: (ItlNexus | undefined)[] = new Array(256).fill(undefined);

  constructor(
    initiatorPort: InitiatorPort,
    targetPort: TargetPort,
    lunMap: LunMap,
    listener?: NexusListener,
  ) {
    this.initiatorPort = initiatorPort;
    this.targetPort = targetPort;
    this.lunMap = lunMap;
    this.listener = listener;
    lunMap.join(this);
  }

  /** The registration key of SPC-4 5.12: initiator port and target port together. */
  get name(): string {
    return `${this.initiatorPort.name},${this.targetPort.relativeId}`;
  }

  unit(lun: number): ItlNexus | undefined {
    return lun >= 0 && lun < 256 ? this.lowUnits[lun] : this.units.get(lun);
  }

  /** Every I_T_L nexus that may have tasks, those of units that were taken away included. */
  *itlNexusesWithTasks(): Iterable<ItlNexus> {
    yield* this.units.values();
    yield* this.leaving;
  }

  /** All I_T_L nexuses in LUN order. */
  *itlNexuses(): Iterable<ItlNexus> {
    yield* [...this.units.values()].sort((a, b) => a.lun - b.lun);
  }

  /** Called by the LUN map. */
  attach(lun: number, logicalUnit: LogicalUnit, writeProtected: boolean): void {
    const itl = new ItlNexus(this, lun, logicalUnit, writeProtected);
    this.units.set(lun, itl);
    this.untold.add(itl);
    if (lun < 256) this.lowUnits[lun] = itl;
    logicalUnit.join(itl);
    // Not POWER ON OCCURRED (29h/01h), which says more: libiscsi and its tools expect what most targets say.
    itl.unitAttentions.establish(Sense.POWER_ON_OR_RESET_OCCURRED);
  }

  /** Called by the LUN map. Tasks under way are aborted; they end when their memory is no longer touched. */
  detach(lun: number): void {
    const itl = this.units.get(lun);
    if (itl === undefined) return;
    this.units.delete(lun);
    this.untold.delete(itl);
    if (lun < 256) this.lowUnits[lun] = undefined;
    const { taskSet } = itl.logicalUnit;
    this.leaving.add(itl);
    taskSet.abort(
      taskSet.filter((task) => task.itl === itl),
      undefined,
      () => {
        this.leaving.delete(itl);
        itl.logicalUnit.nexusLost(itl);
        itl.logicalUnit.leave(itl);
      },
    );
  }

  /**
   * Called by the LUN map: every unit tells of the change (SPC-4 6.33). Those on which it is pending already are not
   * looked at, so that many changes in a row cost as much as there are units, not its square.
   */
  lunsChanged(): void {
    const units = [...this.untold];
    this.untold.clear();
    for (const itl of units) itl.establish(Sense.REPORTED_LUNS_DATA_HAS_CHANGED);
  }

  /** Called by a unit: a unit attention is pending no more. */
  hasForgotten(itl: ItlNexus): void {
    if (this.units.get(itl.lun) === itl) this.untold.add(itl);
  }

  /**
   * I_T nexus loss (SAM-5 6.3.4). A fabric whose memory goes away with the nexus calls `abortNexus` first and
   * waits for its answer; tasks that still run here are aborted, and end later.
   */
  close(): void {
    for (const lun of [...this.units.keys()]) this.detach(lun);
    this.lunMap.leave(this);
    this.listener = undefined;
  }
}
