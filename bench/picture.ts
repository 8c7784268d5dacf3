/** The table of a run as a picture: one bar per target, one group per disk, pattern and depth. */
import { type Cell, count, groups, micros } from './report.ts';

const COLOURS = ['#2f6fab', '#c8553d', '#588b8b', '#e0a458', '#7d5ba6', '#888888', '#4f9d4f', '#b0577f'];
const GROUP_GAP = 16;
const BAR = 16;
const LEFT = 250;
const BAR_SPACE = 420;
const WIDTH = LEFT + BAR_SPACE + 400;
const TOP = 64;
/** Targets in one line of the legend. */
const LEGEND_COLUMNS = 5;
const LEGEND = 'IOPS, latency p50 / p99 / p99.9, CPU time per request of target + generator';

/** SVG; within a group the longest bar is the fastest target. */
export function picture(cells: readonly Cell[]): string {
  const names = [...new Set(cells.map(({ target }) => target))];
  const colour = (name: string) => COLOURS[names.indexOf(name) % COLOURS.length];
  const parts: string[] = [];
  names.forEach((name, i) => {
    const x = 12 + (i % LEGEND_COLUMNS) * 200;
    const y = 12 + Math.floor(i / LEGEND_COLUMNS) * BAR;
    parts.push(`<rect x="${x}" y="${y}" width="12" height="12" fill="${colour(name)}"/>`);
    parts.push(text(x + 18, y + 10, name));
  });
  let y = TOP + Math.floor((names.length - 1) / LEGEND_COLUMNS) * BAR;
  parts.push(text(12, y - 20, LEGEND));
  for (const [heading, group] of groups(cells)) {
    const best = Math.max(...group.map(({ result }) => result.iops));
    parts.push(text(LEFT - 10, y + 12, heading, 'end'));
    for (const { target, result } of group) {
      const width = Math.max(1, (BAR_SPACE * result.iops) / best);
      const latencies = [result.p50, result.p99, result.p999].map(micros).join(' / ');
      const cpu = `${result.targetCpu.toFixed(2)} + ${result.generatorCpu.toFixed(2)} µs CPU`;
      const label = `${count(result.iops)} IOPS, ${latencies} µs, ${cpu}`;
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 3}" fill="${colour(target)}"/>`,
      );
      parts.push(text(LEFT + width + 6, y + 11, label));
      y += BAR;
    }
    y += GROUP_GAP;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}">`,
    `<rect width="${WIDTH}" height="${y}" fill="#ffffff"/>`,
    '<g font-family="sans-serif" font-size="11" fill="#222222">',
    ...parts,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

function text(x: number, y: number, content: string, anchor = 'start'): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}">${escaped}</text>`;
}
