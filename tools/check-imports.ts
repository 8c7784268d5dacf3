/**
 * Holds the direction of imports: cli → target → fabrics, backstores → scsi, with native below target,
 * fabrics and backstores. A linter's path patterns match the text of an import, and so cannot tell a
 * `../x.ts` that stays in its folder from one that leaves it; here each import is resolved to a file.
 *
 * `node dist/tools/check-imports.js [root]` prints a line per violation, and exits 1 if there is one.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type Argument, type Expression, parseSync, Visitor } from 'oxc-parser';

interface Layer {
  /** Folders of src that this one may import, besides itself. */
  readonly imports: readonly string[];
  /** Whether packages and node: builtins may be imported. */
  readonly external: boolean;
}

/** The folders of src. The empty name stands for files directly in src: the package's public face. */
const LAYERS: Readonly<Record<string, Layer>> = {
  scsi: { imports: [], external: false },
  native: { imports: [], external: true },
  backstores: { imports: ['scsi', 'native'], external: true },
  fabrics: { imports: ['scsi', 'native'], external: true },
  target: { imports: ['scsi', 'backstores', 'fabrics', 'native'], external: true },
  cli: { imports: ['scsi', 'backstores', 'fabrics', 'target'], external: true },
  '': { imports: ['scsi', 'backstores', 'fabrics', 'target'], external: true },
};

/** Packages that only one folder may import. */
const OWNED_PACKAGES: Readonly<Record<string, string>> = { 'node-gyp-build': 'native' };

export interface Violation {
  /** Path from the root. */
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly message: string;
}

interface Reference {
  /** What is imported as written, or null where it is computed at run time. */
  readonly specifier: string | null;
  readonly offset: number;
}

/** Every way by which one module names another: import, export from, import(), types, `new URL` of a worker. */
function references(file: string, text: string): Reference[] | string {
  const parsed = parseSync(file, text);
  if (parsed.errors.length > 0) return parsed.errors[0].message;
  const found: Reference[] = [];
  const add = (node: Expression | Argument) => {
    const literal = node.type === 'Literal' && typeof node.value === 'string' ? node.value : null;
    found.push({ specifier: literal, offset: node.start });
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => {
      if (node.source) add(node.source);
    },
    ImportExpression: (node) => add(node.source),
    TSImportType: (node) => add(node.source),
    NewExpression: (node) => {
      const [path, base] = node.arguments;
      if (node.callee.type !== 'Identifier' || node.callee.name !== 'URL' || !base) return;
      if (text.slice(base.start, base.end) !== 'import.meta.url') return;
      if (path.type === 'Literal' && /\.[cm]?[jt]s$/.test(String(path.value))) add(path);
    },
  }).visit(parsed.program);
  return found;
}

/** The folder of src that holds a file, '' for src itself, or null outside src. */
function layerOf(path: string): string | null {
  const parts = path.split('/');
  if (parts[0] !== 'src') return null;
  return parts.length > 2 ? parts[1] : '';
}

/** Says what is wrong with one import, or null. */
function judge(file: string, from: string, specifier: string | null): string | null {
  const layer = LAYERS[from];
  const shown = from === '' ? 'src' : `src/${from}`;
  if (specifier === null) {
    return layer.external ? null : `${shown} imports nothing outside itself, this import is computed`;
  }
  if (!/^\.{1,2}(\/|$)/.test(specifier)) {
    if (/^[#/]|^file:/.test(specifier)) return `"${specifier}" is neither a relative path nor a package`;
    if (!layer.external) return `${shown} imports nothing outside itself, here "${specifier}"`;
    const owner = OWNED_PACKAGES[specifier];
    return owner !== undefined && owner !== from ? `only src/${owner} may import "${specifier}"` : null;
  }
  const target = join(dirname(file), specifier);
  const to = layerOf(target);
  if (to === null) return `src imports nothing outside src, here ${target}`;
  if (to === from || layer.imports.includes(to)) return null;
  const allowed = layer.imports.map((name) => `src/${name}`).join(', ') || 'nothing outside itself';
  return `${shown} may import ${allowed}; here ${target}`;
}

/** Checks every TypeScript file below `root`/src. */
export function checkImports(root: string): Violation[] {
  const violations: Violation[] = [];
  const files = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[cm]?ts$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort();
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8');
    const from = layerOf(file) ?? '';
    if (!Object.hasOwn(LAYERS, from)) {
      violations.push({ file, line: 1, message: `src/${from} has no place in tools/check-imports.ts yet` });
      continue;
    }
    const found = references(file, text);
    if (typeof found === 'string') {
      violations.push({ file, line: 1, message: `cannot be parsed: ${found}` });
      continue;
    }
    for (const { specifier, offset } of found) {
      const message = judge(file, from, specifier);
      if (message !== null)
        violations.push({ file, line: text.slice(0, offset).split('\n').length, message });
    }
  }
  return violations;
}

if (import.meta.filename === process.argv[1]) {
  const violations = checkImports(process.argv[2] ?? '.');
  for (const { file, line, message } of violations) console.log(`${file}:${line}: ${message}`);
  if (violations.length > 0) process.exitCode = 1;
}
