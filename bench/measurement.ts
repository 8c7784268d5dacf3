/** One cell of the table: what the generator is asked, and what it answers, both as JSON. */
import type { Pattern } from './pattern.ts';

export interface MeasurementRequest {
  readonly socket: string;
  readonly device: 'scsi' | 'blk';
  readonly pattern: Pattern;
  /** Request queues. */
  readonly queues: number;
  /** Requests in flight in each queue. */
  readonly depth: number;
  /** Requests use indirect descriptor tables. */
  readonly indirect: boolean;
  readonly diskBytes: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
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
  /** CPU microseconds per request. */
  readonly targetCpu: number;
  readonly generatorCpu: number;
  /** Kicks per request. */
  readonly kicks: number;
  readonly failed: number;
  readonly lost: number;
}
