/** The timestamp of REPORT TIMESTAMP (SPC-4 5.2): our own clock until SET TIMESTAMP moves it. */
import type { Environment } from './environment.ts';

/** TIMESTAMP ORIGIN (SPC-4 table 53). */
const TimestampOrigin = { SET_BY_COMMAND: 0x2, SET_BY_OTHER_METHOD: 0x3 } as const;

export class DeviceClock {
  /** Milliseconds that SET TIMESTAMP moved it; undefined: never. */
  private moved: number | undefined;
  private readonly environment: Environment;

  constructor(environment: Environment) {
    this.environment = environment;
  }

  /** Milliseconds since the epoch. */
  get timestamp(): number {
    return this.environment.now() + (this.moved ?? 0);
  }

  get origin(): number {
    return this.moved === undefined ? TimestampOrigin.SET_BY_OTHER_METHOD : TimestampOrigin.SET_BY_COMMAND;
  }

  set(timestamp: number): void {
    this.moved = timestamp - this.environment.now();
  }

  /** Power on and resets give the clock back to us. */
  reset(): void {
    this.moved = undefined;
  }
}
