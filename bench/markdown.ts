/** The tables of docs/performance.md: one per disk, targets side by side. */
import { type Cell, count, fastest, groups } from './report.ts';

/** Fractions are of the better of lunport's ways to wait. */
const OURS = 'lunport';
const PEERS = [
  { heading: 'of C', name: 'minimal C' },
  { heading: 'of SPDK', name: 'SPDK' },
] as const;

/** Each entry: requests per second, and the target's CPU microseconds per request. */
export function markdown(cells: readonly Cell[]): string {
  const disks = [...new Set(cells.map(({ disk }) => disk))];
  return disks.map((disk) => diskTable(cells.filter((cell) => cell.disk === disk))).join('\n');
}

function diskTable(cells: readonly Cell[]): string {
  const targets = [...new Set(cells.map(({ target }) => target))];
  const peers = PEERS.filter(({ name }) => targets.some((target) => target.startsWith(name)));
  const [{ disk }] = cells;
  const head = [`${disk}`, ...targets, ...peers.map(({ heading }) => heading)];
  const lines = [head, head.map(() => '---')];
  for (const [heading, group] of groups(cells)) {
    const entries = targets.map((name) => {
      const found = group.find(({ target }) => target === name);
      return found ? `${count(found.result.iops)}, ${found.result.targetCpu.toFixed(2)} µs` : '–';
    });
    const ours = fastest(group, OURS);
    const ratios = peers.map(({ name }) => ratio(ours, fastest(group, name)));
    lines.push([heading.replace(`${disk}: `, ''), ...entries, ...ratios]);
  }
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`;
}

function ratio(ours: number | undefined, theirs: number | undefined): string {
  return ours === undefined || theirs === undefined ? '–' : (ours / theirs).toFixed(2);
}
