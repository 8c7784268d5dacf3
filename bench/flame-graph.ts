/** A CPU profile of V8's as a flame graph: one bar per function, as wide as its share of the time, above its caller. */
import { basename } from 'node:path';

/** What is read of a .cpuprofile file. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** The node that ran when each sample was taken. */
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    /** From 0. */
    readonly lineNumber: number;
  };
  readonly children?: readonly number[];
}

interface Frame {
  readonly node: ProfileNode;
  readonly children: Frame[];
  /** Microseconds in it and in what it called. */
  time: number;
}

/** Layers of the data path, by folder; the first that a file lies in gives its colour. */
const LAYERS: readonly (readonly [folder: string, colour: string])[] = [
  ['/fabrics/', '#e0a458'],
  ['/scsi/', '#588b8b'],
  ['/backstores/', '#7d5ba6'],
  ['/native/', '#c8553d'],
  ['node:', '#b0b0b0'],
];
const OTHER = '#d8d8d8';
const WIDTH = 1200;
const ROW = 18;
const TOP = 30;
/** Narrower bars, in pixels, are left out; so are labels of bars with less room. */
const NARROWEST = 0.5;
const LABEL = 40;
const LETTER = 6.5;

/** SVG. Time in which nothing ran is left out. */
export function flameGraph(profile: CpuProfile): string {
  const root = tree(profile);
  const rows = depth(root);
  const height = TOP + rows * ROW + 4;
  const parts: string[] = [];
  const draw = (frame: Frame, x: number, level: number) => {
    const width = (WIDTH * frame.time) / root.time;
    if (width < NARROWEST) return;
    parts.push(bar(frame, x, TOP + (rows - 1 - level) * ROW, width, root.time));
    let at = x;
    for (const child of frame.children) {
      draw(child, at, level + 1);
      at += (WIDTH * child.time) / root.time;
    }
  };
  if (root.time > 0) draw(root, 0, 0);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    '<g font-family="monospace" font-size="11" fill="#222222">',
    ...LAYERS.map(([folder, colour], i) => legend(20 + i * 130, folder, colour)),
    ...parts,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

function tree({ nodes, samples, timeDeltas }: CpuProfile): Frame {
  const frames = new Map(nodes.map((node) => [node.id, { node, children: [] as Frame[], time: 0 }]));
  for (const frame of frames.values()) {
    for (const id of frame.node.children ?? []) frame.children.push(frames.get(id)!);
  }
  for (const [i, id] of samples.entries()) frames.get(id)!.time += timeDeltas[i];
  const root = frames.get(nodes[0].id)!;
  root.children.splice(
    0,
    root.children.length,
    ...root.children.filter(({ node }) => node.callFrame.functionName !== '(idle)'),
  );
  addUp(root);
  return root;
}

function addUp(frame: Frame): number {
  for (const child of frame.children) frame.time += addUp(child);
  frame.children.sort((a, b) => b.time - a.time);
  return frame.time;
}

function depth(frame: Frame): number {
  return 1 + Math.max(0, ...frame.children.map(depth));
}

function bar({ node, time }: Frame, x: number, y: number, width: number, whole: number): string {
  const { functionName, url, lineNumber } = node.callFrame;
  const name = functionName || '(anonymous)';
  const place = url === '' ? '' : ` ${basename(url)}:${lineNumber + 1}`;
  const share = `${((100 * time) / whole).toFixed(1)} %`;
  const label = `${name}${place}`.slice(0, Math.floor(width / LETTER));
  return [
    `<g><title>${escaped(`${name}${place}, ${share}`)}</title>`,
    `<rect x="${x.toFixed(1)}" y="${y}" width="${Math.max(width - 0.5, 0.3).toFixed(1)}" height="${ROW - 1}" fill="${colourOf(url)}"/>`,
    width < LABEL ? '' : `<text x="${(x + 3).toFixed(1)}" y="${y + 13}">${escaped(label)}</text>`,
    '</g>',
  ].join('');
}

function legend(x: number, folder: string, colour: string): string {
  const name = folder.replaceAll('/', '').replaceAll(':', '');
  return `<rect x="${x}" y="8" width="12" height="12" fill="${colour}"/><text x="${x + 17}" y="18">${name}</text>`;
}

function colourOf(url: string): string {
  return LAYERS.find(([folder]) => url.includes(folder))?.[1] ?? OTHER;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
