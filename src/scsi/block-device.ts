/**
 * A direct access block device (SBC-3, device type 00h): blocks on a backstore, and the state that its commands
 * share. Each part of that state is a class of its own, named like the part of the standard that defines it.
 */
import { AluaAccess } from './alua.ts';
import { AtomicJournal } from './atomic-journal.ts';
import type { Backstore } from './backstore.ts';
import { type BlockLimits, blockLimits } from './block-limits.ts';
import { CopyManager } from './copy/copy-manager.ts';
import { RodTokens } from './copy/rod-tokens.ts';
import type { DeviceAttributes } from './device-attributes.ts';
import { DeviceBuffer } from './device-buffer.ts';
import { DeviceClock } from './device-clock.ts';
import type { Environment } from './environment.ts';
import { flushLater } from './flush-later.ts';
import { IdentifyingInformation } from './identifying-information.ts';
import type { Identity } from './identity.ts';
import { LogicalUnit } from './logical-unit.ts';
import type { Verdict } from './medium.ts';
import { MediumErasure } from './medium-erasure.ts';
import { cachingPage } from './mode-pages/caching.ts';
import { ModeParameters, PageControl } from './mode-pages/mode-parameters.ts';
import type { ItlNexus, Nexus } from './nexus.ts';
import type { TargetPort } from './port.ts';
import { PowerCondition } from './power-condition.ts';
import { Protection } from './protection.ts';
import { PI_LENGTH } from './protection-information.ts';
import { ProvisioningThresholds } from './provisioning-thresholds.ts';
import { RangeLocks } from './range-locks.ts';
import { RemovableMedium } from './removable-medium.ts';
import { type ReservationOptions, Reservations } from './reservations.ts';
import { ScratchBudget } from './scratch-budget.ts';
import { SelfTest } from './self-test.ts';
import { Sense, type SenseCode } from './sense-spec.ts';
import type { StateStore } from './state-store.ts';
import { Statistics } from './statistics.ts';
import type { Task } from './task.ts';

export interface BlockDeviceOptions extends ReservationOptions {
  readonly identity: Identity;
  readonly attributes: DeviceAttributes;
  /** Where reservations and saved mode pages live across restarts; absent: they do not. */
  readonly store?: StateStore;
  /** Where protection information lives, eight bytes per block; absent: the unit has none. */
  readonly protection?: Backstore;
  /** Whether the medium can be ejected and loaded (RMB); default false. */
  readonly removable?: boolean;
}

/** Why the medium cannot be reached now; `undefined` when it can. */
export type NotReady = { readonly sense: SenseCode; readonly progress?: number };

/** `queue_depth` is what one initiator's queue may hold; this many of them together fill the task set. */
const QUEUES_PER_DEVICE = 64;

/** Its command set is the concrete device's: see disk.ts. */
export abstract class BlockDevice extends LogicalUnit {
  readonly backstore: Backstore;
  readonly attributes: DeviceAttributes;
  /** Bytes of user data per logical block. */
  readonly blockSize: number;
  /** Logical blocks; changes on resize only. */
  blockCount: number;
  readonly reservations: Reservations;
  readonly alua: AluaAccess;
  readonly rangeLocks: RangeLocks;
  readonly scratchBudget: ScratchBudget;
  /** What VPD B0 reports and every handler checks. */
  limits: BlockLimits;
  readonly protection: Protection;
  readonly thresholds: ProvisioningThresholds;
  /** Why a flush failed that nobody waited for; the next one reports it. */
  unreportedFlushFailure: Verdict | undefined = undefined;
  readonly store: StateStore | undefined;
  readonly atomicJournal: AtomicJournal;
  readonly erasure: MediumErasure;
  notReady: NotReady | undefined = undefined;
  /** WCE of the Caching mode page: false makes every write reach stable storage before GOOD. */
  writeCacheEnabled = false;
  readonly power: PowerCondition;
  /** Absent when the medium is fixed. */
  readonly removableMedium: RemovableMedium | undefined;
  readonly modeParameters: ModeParameters;
  readonly copies = new CopyManager();
  readonly tokens = new RodTokens(this);
  readonly statistics = new Statistics();
  readonly selfTest: SelfTest;
  readonly buffer = new DeviceBuffer();
  readonly clock: DeviceClock;
  readonly identifyingInformation: IdentifyingInformation;

  constructor(environment: Environment, backstore: Backstore, options: BlockDeviceOptions) {
    super(environment, options.identity);
    this.backstore = backstore;
    this.attributes = options.attributes;
    this.blockSize = options.attributes.block_size;
    this.blockCount = Math.floor(backstore.byteLength / this.blockSize);
    this.store = options.store;
    this.reservations = new Reservations(this, options);
    this.alua = new AluaAccess(this);
    this.rangeLocks = new RangeLocks(this);
    this.scratchBudget = new ScratchBudget(this.rangeLocks);
    this.taskSet.limit = this.attributes.queue_depth * QUEUES_PER_DEVICE;
    this.protection = new Protection(this, options.protection);
    this.thresholds = new ProvisioningThresholds(this);
    this.limits = blockLimits(this);
    this.atomicJournal = new AtomicJournal(this);
    this.erasure = new MediumErasure(this);
    // Old blocks must not come back onto a medium that is being erased, nor at the start after that.
    if (this.erasure.recover()) this.atomicJournal.discard();
    else this.atomicJournal.recover();
    this.power = new PowerCondition(this);
    this.removableMedium = options.removable ? new RemovableMedium(this) : undefined;
    this.modeParameters = new ModeParameters(this);
    this.selfTest = new SelfTest(this);
    this.clock = new DeviceClock(environment);
    this.identifyingInformation = new IdentifyingInformation(this.store);
  }

  /**
   * Takes over a new size of the backstore and tells everybody (SBC-3 4.7). Where there is protection information, its
   * backstore bounds the size as well.
   */
  capacityChanged(): void {
    const { backstore, blockSize, protection } = this;
    const { byteLength = Infinity } = protection.backstore ?? {};
    this.blockCount = Math.floor(Math.min(backstore.byteLength / blockSize, byteLength / PI_LENGTH));
    this.establishForAll(Sense.CAPACITY_DATA_HAS_CHANGED);
  }

  get writeProtected(): boolean {
    return this.backstore.capabilities.readOnly || this.control.swp;
  }

  /** Protection information is looked at, so it comes through memory. */
  override get takesKernelBuffers(): boolean {
    return this.backstore.capabilities.kernelBuffers === true && this.protection.type === 0;
  }

  override targetPortGroup(port: TargetPort): number | undefined {
    return this.attributes.alua_support === 0 ? undefined : this.alua.groupOf(port.relativeId).id;
  }

  override conflictsWithReservation(task: Task): boolean {
    return this.reservations.held && task.row!.reservation !== 'allowed' && !this.reservations.allows(task);
  }

  override nexusLost(itl: ItlNexus): void {
    super.nexusLost(itl);
    this.reservations.nexusLost(itl.nexus);
    this.copies.forget(itl);
  }

  admit(task: Task): boolean {
    const row = task.row!;
    if (this.reservations.held && !this.reservations.admit(task)) return false;
    if (this.alua.restricted && row.alua !== 'any' && !this.alua.admit(task)) return false;
    if (this.notReady !== undefined && row.needsReady) {
      const { sense, progress } = this.notReady;
      task.fail(sense, progress === undefined ? {} : { progress });
      return false;
    }
    if (this.power.low && row.needsReady) this.power.accessed(row);
    if (row.writes && (this.writeProtected || task.itl!.writeProtected)) {
      task.fail(this.control.swp ? Sense.LOGICAL_UNIT_SOFTWARE_WRITE_PROTECTED : Sense.WRITE_PROTECTED);
      return false;
    }
    return true;
  }

  reset(cause: SenseCode, by: Nexus | undefined): void {
    this.reservations.reset();
    for (const itl of this.itlNexuses) this.copies.forget(itl);
    this.removableMedium?.unlock();
    this.power.start();
    this.restoreModeParameters();
    this.selfTest.stopBackground();
    this.clock.reset();
    this.establishForAll(cause, by);
  }

  /** With the cache turned off, nobody would ask for a flush of what it still holds. */
  private restoreModeParameters(): void {
    const wasCached = this.writeCacheEnabled;
    const before = this.modeParameters.values(cachingPage, PageControl.CURRENT);
    this.modeParameters.restore();
    if (wasCached && !this.writeCacheEnabled) void this.emptyCache(before);
  }

  /** What cannot be flushed stays in a cache, and is told to whoever asks for the next flush: `page` has WCE set. */
  private async emptyCache(page: Uint8Array): Promise<void> {
    await flushLater(this);
    if (this.unreportedFlushFailure === undefined || this.writeCacheEnabled) return;
    this.modeParameters.change([{ page: cachingPage, values: page }]);
    this.establishForAll(Sense.MODE_PARAMETERS_CHANGED, undefined);
  }

  /** The last initiator has gone: the next one finds a unit that was switched on just now. */
  override leave(itl: ItlNexus): void {
    super.leave(itl);
    if (this.itlNexuses.size === 0) this.power.start();
  }
}
