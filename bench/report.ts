/** The table of a run, as text. */
import type { Summary } from './rounds.ts';
import type { DiskKind } from './targets.ts';

/** What targets are compared at. */
export interface Place {
  readonly disk: DiskKind;
  /** Its name. */
  readonly pattern: string;
  readonly queues: number;
  readonly depth: number;
}

export interface Cell extends Place, Summary {
  readonly target: string;
}

const COLUMNS = [
  'target',
  'IOPS',
  'MB/s',
  'p50 µs',
  'p99 µs',
  'p99.9 µs',
  'CPU/IO µs',
  'gen. µs',
  'of limit',
  'of SPDK',
];

/** One block per disk, pattern, queues and depth; targets below each other. */
export function table(cells: readonly Cell[]): string {
  const lines: string[] = [];
  for (const [heading, group] of groups(cells)) {
    lines.push('', heading, row(COLUMNS));
    const limit = fastest(group, 'minimal C');
    const spdk = fastest(group, 'SPDK');
    for (const { target, result } of group) {
      lines.push(
        row([
          target,
          count(result.iops),
          (result.bytesPerSecond / 1e6).toFixed(0),
          micros(result.p50),
          micros(result.p99),
          micros(result.p999),
          result.targetCpu.toFixed(2),
          result.generatorCpu.toFixed(2),
          fraction(result.iops, limit),
          fraction(result.iops, spdk),
        ]) + (result.failed + result.lost > 0 ? `  ${result.failed} failed, ${result.lost} lost` : ''),
      );
    }
  }
  return lines.join('\n');
}

/** Cells that differ in their target only, with what they have in common as a heading. */
export function groups(cells: readonly Cell[]): Map<string, Cell[]> {
  const found = new Map<string, Cell[]>();
  for (const cell of cells) {
    const heading = headingOf(cell);
    const group = found.get(heading) ?? [];
    group.push(cell);
    found.set(heading, group);
  }
  return found;
}

export function headingOf({ disk, pattern, depth, queues }: Place): string {
  return `${disk}: ${pattern}, depth ${depth}${queues === 1 ? '' : `, ${queues} queues`}`;
}

/** The best IOPS of the targets whose name starts so, in one group; undefined when there are none. */
export function fastest(group: readonly Cell[], name: string): number | undefined {
  const found = group.filter(({ target }) => target.startsWith(name)).map(({ result }) => result.iops);
  return found.length === 0 ? undefined : Math.max(...found);
}

function fraction(value: number, of: number | undefined): string {
  return of === undefined ? '-' : `${((100 * value) / of).toFixed(0)} %`;
}

function row(fields: readonly string[]): string {
  return fields.map((field, i) => (i === 0 ? field.padEnd(22) : field.padStart(10))).join('');
}

export function count(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(0)} k`;
  return `${(value / 1e3).toFixed(1)} k`;
}

/** Microseconds, in as many digits as say something. */
export function micros(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
