/**
 * One cell of the table from several turns. On a virtual machine single turns differ by half, as where the host moves
 * a processor; the median of some does not.
 */
import type { MeasurementResult } from './measurement.ts';
import { median } from './median.ts';

export interface Summary {
  readonly rounds: number;
  /** The median of each figure by itself; of what went wrong, all. */
  readonly result: MeasurementResult;
  /** The least and the most of each figure, by itself too. */
  readonly least: MeasurementResult;
  readonly most: MeasurementResult;
}

/** `results` are of one target at one work, at least one. */
export function summary(results: readonly MeasurementResult[]): Summary {
  const each = (pick: (values: readonly number[]) => number) => combined(results, pick);
  return {
    rounds: results.length,
    result: { ...each(median), failed: sum(results, 'failed'), lost: sum(results, 'lost') },
    least: each((values) => Math.min(...values)),
    most: each((values) => Math.max(...values)),
  };
}

function combined(
  results: readonly MeasurementResult[],
  pick: (values: readonly number[]) => number,
): MeasurementResult {
  const fields = Object.keys(results[0]) as (keyof MeasurementResult)[];
  const entries = fields.map((field) => [field, pick(results.map((result) => result[field]))] as const);
  return Object.fromEntries(entries) as Record<keyof MeasurementResult, number>;
}

function sum(results: readonly MeasurementResult[], field: keyof MeasurementResult): number {
  return results.reduce((total, result) => total + result[field], 0);
}
