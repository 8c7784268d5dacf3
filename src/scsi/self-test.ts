/**
 * Self-tests of a block device (SPC-4 5.14): reads from the medium and nothing else. The short test reads both
 * ends, the extended one everything.
 */
import type { BlockDevice } from './block-device.ts';
import { Medium, type Verdict } from './medium.ts';
import type { SenseCode } from './sense-spec.ts';
import { Status } from './status-spec.ts';
import type { Task } from './task.ts';

/** How many results are kept (SPC-4 7.3.19). */
export const SELF_TEST_RESULTS = 20;

/** SELF-TEST RESULTS (SPC-4 table 369). */
const Outcome = { COMPLETED: 0x0, ABORTED_BY_COMMAND: 0x1, ABORTED: 0x2, FAILED: 0x7, RUNNING: 0xf } as const;

const MILLISECONDS_PER_HOUR = 3_600_000;

/** Bytes per second that any backing reads at. */
const SLOW_READ = 50e6;

/** How long an extended self-test may take, seconds. */
export function extendedSelfTestSeconds(device: BlockDevice): number {
  return Math.ceil((device.blockCount * device.blockSize) / SLOW_READ);
}

export interface SelfTestResult {
  /** SELF-TEST CODE of SEND DIAGNOSTIC. */
  readonly code: number;
  readonly outcome: number;
  /** Accumulated power on hours when it ended. */
  readonly hours: number;
  /** LBA of the first failure. */
  readonly firstFailure?: number;
  readonly sense?: SenseCode;
}

interface Running {
  readonly code: number;
  stop: boolean;
}

export class SelfTest {
  /** Newest first; one in the background stands at the front while it runs. */
  readonly results: SelfTestResult[] = [];
  private readonly device: BlockDevice;
  private readonly powerOnTime: number;
  private running: Running | undefined;

  constructor(device: BlockDevice) {
    this.device = device;
    this.powerOnTime = device.environment.now();
  }

  get inBackground(): boolean {
    return this.running !== undefined;
  }

  /** The default self-test: its status is its only result (SPC-4 5.14.2). */
  async standard(task: Task): Promise<Verdict> {
    return (await this.read(new Medium(this.device, task), false, () => false)) ?? Status.GOOD;
  }

  /** Runs as part of `task`; resolves with its verdict. */
  async foreground(code: number, extended: boolean, task: Task): Promise<Verdict> {
    const failure = await this.read(new Medium(this.device, task), extended, () => false);
    this.record(code, failure);
    return failure ?? Status.GOOD;
  }

  /** Starts one that no task waits for. */
  background(code: number, extended: boolean): void {
    const running: Running = { code, stop: false };
    this.running = running;
    this.results.unshift({ code, outcome: Outcome.RUNNING, hours: this.hours });
    this.results.length = Math.min(this.results.length, SELF_TEST_RESULTS);
    void this.read(new Medium(this.device), extended, () => running.stop).then((failure) => {
      // One that was stopped has its result already.
      if (running.stop) return;
      this.running = undefined;
      this.results.shift();
      this.record(code, failure);
    });
  }

  /** Ends the one in the background, because a command asked for it. */
  stopBackground(): void {
    if (this.running === undefined) return;
    this.running.stop = true;
    this.results[0] = { code: this.running.code, outcome: Outcome.ABORTED_BY_COMMAND, hours: this.hours };
    this.running = undefined;
  }

  private get hours(): number {
    return Math.floor((this.device.environment.now() - this.powerOnTime) / MILLISECONDS_PER_HOUR);
  }

  private async read(
    medium: Medium,
    extended: boolean,
    stopped: () => boolean,
  ): Promise<Verdict | undefined> {
    const { blockCount } = this.device;
    const step = medium.chunkBlocks(extended ? blockCount : 1);
    const scratch = medium.scratch(step);
    try {
      for (let lba = 0; lba < blockCount && !stopped(); lba += step) {
        const failure = await medium.read(lba, Math.min(step, blockCount - lba), scratch);
        if (failure !== undefined) return failure;
        if (!extended) break;
      }
      return extended ? undefined : await medium.read(blockCount - 1, 1, scratch);
    } finally {
      medium.releaseScratch();
    }
  }

  private record(code: number, failure: Verdict | undefined): void {
    const { hours } = this;
    const at = { code, hours };
    if (failure === undefined) this.results.unshift({ ...at, outcome: Outcome.COMPLETED });
    else if (typeof failure === 'number') this.results.unshift({ ...at, outcome: Outcome.ABORTED });
    else {
      const { code: sense, detail } = failure;
      this.results.unshift({ ...at, outcome: Outcome.FAILED, firstFailure: detail?.information, sense });
    }
    this.results.length = Math.min(this.results.length, SELF_TEST_RESULTS);
  }
}
