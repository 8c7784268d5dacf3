/**
 * Work on the whole medium that outlives its command: FORMAT UNIT (SBC-3 5.3) and SANITIZE (SBC-3 4.11). It holds
 * every block, goes on when its task is aborted or the unit is reset, and is kept in the state store until it has
 * succeeded: a restart takes it up from its start, and a failure stays a failure.
 */
import type { BlockDevice } from './block-device.ts';
import { fromHex, toHex } from './bytes.ts';
import { DamagedStateError } from './damaged-state-error.ts';
import { conclude, Medium, type Verdict } from './medium.ts';
import type { Nexus } from './nexus.ts';
import type { ProtectionType } from './protection-information.ts';
import { Sense, type SenseCode } from './sense-spec.ts';
import { Status } from './status-spec.ts';
import type { Task } from './task.ts';

/** Name in the state store. */
const ENTRY = 'medium-erasure';
/** Bytes per step when nothing goes through scratch memory: progress shows, and other units get their turn. */
const STEP = 1 << 30;
/** A progress indication counts in 65536ths (SPC-4 4.5.2.4.4). */
const PROGRESS_UNITS = 0x1_0000;

export interface ErasureJob {
  readonly command: 'FORMAT UNIT' | 'SANITIZE';
  /** What every block becomes, one pass after the other; undefined: unmapped, or else zeroes. */
  readonly passes: readonly (Uint8Array | undefined)[];
  /** AUSE: a failed SANITIZE may be left by EXIT FAILURE MODE. */
  readonly unrestrictedExit: boolean;
  /** With which protection type the medium is formatted; absent: as before. */
  readonly protectionType?: ProtectionType;
}

/** The job as it is stored: blocks in hexadecimal. */
interface StoredJob extends Omit<ErasureJob, 'passes'> {
  readonly passes: readonly (string | null)[];
  readonly failed: boolean;
}

const SENSE: Record<ErasureJob['command'], { inProgress: SenseCode; failed: SenseCode }> = {
  'FORMAT UNIT': { inProgress: Sense.FORMAT_IN_PROGRESS, failed: Sense.MEDIUM_FORMAT_CORRUPTED },
  SANITIZE: { inProgress: Sense.SANITIZE_IN_PROGRESS, failed: Sense.SANITIZE_COMMAND_FAILED },
};

export class MediumErasure {
  /** The last job that failed; until another one succeeds the unit is not ready. */
  failed: ErasureJob | undefined = undefined;
  private readonly device: BlockDevice;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  /** Starts a job for `task`, which ends with it, or with GOOD at once when `immediate`. */
  start(task: Task, job: ErasureJob, immediate: boolean): void {
    let ended = false;
    const end = (verdict: Verdict) => {
      if (ended) return;
      ended = true;
      conclude(task, verdict);
    };
    task.onAbort = () => end(Status.TASK_ABORTED);
    const started = () => {
      if (immediate) end(Status.GOOD);
    };
    void this.run(job, started, task.nexus).then((failure) => end(failure ?? Status.GOOD));
  }

  /** At start of the unit: takes up what was interrupted, remembers what had failed. False: there was nothing. */
  recover(): boolean {
    const text = this.device.store?.load(ENTRY);
    if (text === undefined || text === '') return false;
    const stored = parse(text);
    for (const block of stored.passes) {
      if (block !== null && block.length !== 2 * this.device.blockSize)
        throw new DamagedStateError(ENTRY, 'its pattern is not as long as a block of the disk');
    }
    const { command, unrestrictedExit, protectionType } = stored;
    const passes = stored.passes.map((block) => (block === null ? undefined : fromHex(block)));
    const job: ErasureJob = { command, passes, unrestrictedExit, protectionType };
    this.fail(job);
    if (!stored.failed) void this.run(job, () => {});
    return true;
  }

  /** EXIT FAILURE MODE; false when the failed SANITIZE did not allow it. Rejects when that cannot be saved. */
  async exitFailureMode(): Promise<boolean> {
    if (this.failed === undefined) return true;
    if (!this.failed.unrestrictedExit) return false;
    // First of all: a start that found the job would erase what was written meanwhile.
    await this.save(undefined, false);
    this.failed = undefined;
    this.device.notReady = undefined;
    return true;
  }

  /** Never rejects. */
  private async run(job: ErasureJob, started: () => void, by?: Nexus): Promise<Verdict | undefined> {
    const { device } = this;
    const before = { failed: this.failed, notReady: device.notReady };
    this.failed = undefined;
    device.notReady = { sense: SENSE[job.command].inProgress, progress: 0 };
    const medium = new Medium(device);
    let failure: Verdict | undefined;
    let begun = false;
    try {
      await this.save(job, false);
      begun = true;
      started();
      const lock = await device.rangeLocks.acquire(0, device.blockCount);
      try {
        failure = await this.erase(medium, job, by);
      } finally {
        device.rangeLocks.release(lock);
      }
      await this.save(failure === undefined ? undefined : job, failure !== undefined);
    } catch (error) {
      device.environment.defect?.(error);
      failure = { code: Sense.INTERNAL_TARGET_FAILURE };
      // Nothing has been erased: the unit is as good as it was, unless the next start would find the job.
      if (!begun && before.failed === undefined && (await this.withdraw())) {
        device.notReady = before.notReady;
        return failure;
      }
    }
    medium.releaseScratch();
    if (failure === undefined) device.notReady = undefined;
    else this.fail(job);
    return failure;
  }

  /** Whether the store holds no job, after one could not be saved there. */
  private async withdraw(): Promise<boolean> {
    const { store } = this.device;
    if (store?.load(ENTRY)) await this.save(undefined, false).catch(() => {});
    return !store?.load(ENTRY);
  }

  private fail(job: ErasureJob): void {
    this.failed = job;
    this.device.notReady = { sense: SENSE[job.command].failed };
  }

  private async erase(medium: Medium, job: ErasureJob, by: Nexus | undefined): Promise<Verdict | undefined> {
    const { protection } = this.device;
    const { type } = protection;
    // Whoever reads next finds nothing to check, so nobody needs protection information while blocks are erased.
    protection.type = 0;
    const failure = (await this.eraseData(medium, job)) ?? (await this.eraseProtection(medium));
    protection.type = type;
    if (failure !== undefined) return failure;
    const next = job.protectionType ?? type;
    if (next !== type) {
      await protection.setType(next);
      this.device.establishForAll(Sense.CAPACITY_DATA_HAS_CHANGED, by);
    }
    return protection.type === 0 ? undefined : medium.flush();
  }

  private async eraseData(medium: Medium, job: ErasureJob): Promise<Verdict | undefined> {
    for (const [pass, block] of job.passes.entries()) {
      const failure = (await this.fill(medium, block, pass, job)) ?? (await medium.flush());
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  private async eraseProtection(medium: Medium): Promise<Verdict | undefined> {
    if (!this.device.protection.supported) return undefined;
    return medium.forgetProtection(0, this.device.blockCount);
  }

  private async fill(
    medium: Medium,
    block: Uint8Array | undefined,
    pass: number,
    job: ErasureJob,
  ): Promise<Verdict | undefined> {
    const { device } = this;
    const step = block === undefined ? STEP / device.blockSize : medium.chunkBlocks(device.blockCount);
    for (let lba = 0; lba < device.blockCount; lba += step) {
      const blocks = Math.min(step, device.blockCount - lba);
      const failure =
        block === undefined ? await forget(medium, lba, blocks) : await medium.fill(lba, blocks, block);
      if (failure !== undefined) return failure;
      const done = (pass + (lba + blocks) / device.blockCount) / job.passes.length;
      const progress = Math.min(PROGRESS_UNITS - 1, Math.floor(done * PROGRESS_UNITS));
      device.notReady = { sense: SENSE[job.command].inProgress, progress };
    }
    return undefined;
  }

  private async save(job: ErasureJob | undefined, failed: boolean): Promise<void> {
    const { store } = this.device;
    if (store === undefined) return;
    if (job === undefined) {
      await store.save(ENTRY, '');
      return;
    }
    const passes = job.passes.map((block) => (block === undefined ? null : toHex(block)));
    const stored: StoredJob = { ...job, passes, failed };
    await store.save(ENTRY, JSON.stringify(stored));
  }
}

/** Unmaps where that leaves zeroes, else writes them. */
function forget(medium: Medium, lba: number, blocks: number): Promise<Verdict | undefined> {
  const { capabilities } = medium.device.backstore;
  if (capabilities.unmap && capabilities.unmapReadsZero) return medium.unmap(lba, blocks);
  return medium.zero(lba, blocks);
}

function parse(text: string): StoredJob {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DamagedStateError(ENTRY, 'it is no JSON', { cause });
  }
  const { command, passes, failed } = (value ?? {}) as Partial<StoredJob>;
  const isJob =
    command !== undefined &&
    Object.hasOwn(SENSE, command) &&
    typeof failed === 'boolean' &&
    Array.isArray(passes) &&
    passes.every((block) => block === null || /^(?:[0-9a-f]{2})+$/.test(block));
  if (!isJob) throw new DamagedStateError(ENTRY, 'it describes no job');
  return value as StoredJob;
}
