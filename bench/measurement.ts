/** One turn of a target at a work: what the generator is asked, and what it answers, both as JSON. */
import type { LoadDeviceOptions } from './load-device.ts';

export interface MeasurementRequest extends LoadDeviceOptions {
  readonly diskBytes: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** First make so many requests of the pattern, to fill the disk. */
  readonly requestsBefore: number;
  /** The process whose CPU time is counted as the target's. */
  readonly targetPid: number;
}

export interface MeasurementResult {
  readonly iops: number;
  readonly bytesPerSecond: number;
  /** Latency, microseconds. */
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** CPU microseconds per request. */
  readonly targetCpu: number;
  readonly generatorCpu: number;
  /** Kicks per request. */
  readonly kicks: number;
  readonly failed: number;
  readonly lost: number;
}
