/**
 * Power condition of a logical unit (SPC-4 5.13, SBC-3 4.20). Nothing spins here, so idle and standby save
 * nothing; but what START STOP UNIT asked for is remembered and told by REQUEST SENSE, as with a real disk.
 */
import type { BlockDevice } from './block-device.ts';
import type { Command } from './command.ts';
import { Sense, type SenseCode } from './sense-spec.ts';
import { Counter } from './statistics.ts';

const TEST_UNIT_READY = 0x00;
const NOT_STARTED = { sense: Sense.INITIALIZING_COMMAND_REQUIRED };

export class PowerCondition {
  /** Whether the unit is in idle or standby: the one thing the path of a READ looks at. */
  low = false;
  /** Sense data of REQUEST SENSE in idle and standby. */
  sense: SenseCode = Sense.NO_ADDITIONAL_SENSE;
  private readonly device: BlockDevice;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  get stopped(): boolean {
    return this.device.notReady === NOT_STARTED;
  }

  /** Active: also what ends the stopped condition. */
  start(): void {
    if (this.stopped) {
      this.device.notReady = undefined;
      this.device.statistics.counts[Counter.START_STOP_CYCLES]++;
    }
    this.low = false;
    this.sense = Sense.NO_ADDITIONAL_SENSE;
  }

  /** Idle or standby, told by `sense`; a stopped unit becomes ready by it. */
  lower(sense: SenseCode): void {
    this.start();
    this.low = true;
    this.sense = sense;
  }

  /** Stopped: no medium access until it is started again. */
  stop(): void {
    this.start();
    this.device.notReady = NOT_STARTED;
  }

  /** A medium access in idle or standby makes the unit active; TEST UNIT READY does not. */
  accessed(row: Command): void {
    if (row.opcode !== TEST_UNIT_READY) this.start();
  }
}
