/** The table of a run as a picture: one bar per target, one group per disk, pattern and depth. */
import { type Cell, count, groups } from './report.ts';

const COLOURS = ['#2f6fab', '#c8553d', '#588b8b', '#e0a458', '#7d5ba6', '#888888'];
const GROUP_GAP = 16;
const BAR = 16;
const LEFT = 250;
const BAR_SPACE = 460;
const WIDTH = LEFT + BAR_SPACE + 250;
const TOP = 44;

/** SVG; within a group the longest bar is the fastest target. */
export function picture(cells: readonly Cell[]): string {
  const names = [...new Set(cells.map(({ target }) => target))];
  const colour = (name: string) => COLOURS[names.indexOf(name) % COLOURS.length];
  const parts: string[] = [];
  names.forEach((name, i) => {
    const x = 12 + i * 180;
    parts.push(`<rect x="${x}" y="12" width="12" height="12" fill="${colour(name)}"/>`);
    parts.push(text(x + 18, 22, name));
  });
  let y = TOP;
  for (const [heading, group] of groups(cells)) {
    const best = Math.max(...group.map(({ result }) => result.iops));
    parts.push(text(LEFT - 10, y + 12, heading, 'end'));
    for (const { target, result } of group) {
      const width = Math.max(1, (BAR_SPACE * result.iops) / best);
      const label = `${count(result.iops)} IOPS, p99 ${result.p99.toFixed(1)} µs, ${result.targetCpu.toFixed(2)} µs CPU`;
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
