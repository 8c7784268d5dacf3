/** Decoded data for people: one `name: value` a line, lists of records as tables. */
import type { Decoded, Value } from './decoded.ts';

const INDENT = '  ';
/** Wider ones are no tables for people. */
const MAX_COLUMNS = 8;

/** Lines without line ends. */
export function render(decoded: Decoded, indent = ''): string[] {
  return Object.entries(decoded).flatMap(([name, value]) =>
    renderEntry(name.replaceAll('_', ' '), value, indent),
  );
}

function renderEntry(name: string, value: Value, indent: string): string[] {
  if (Array.isArray(value)) return renderList(name, value, indent);
  if (isRecord(value)) return [`${indent}${name}:`, ...render(value, indent + INDENT)];
  return [`${indent}${name}: ${plain(value)}`];
}

function renderList(name: string, values: readonly Value[], indent: string): string[] {
  if (values.length === 0) return [`${indent}${name}: none`];
  if (!values.every(isRecord)) return [`${indent}${name}: ${values.map(plain).join(', ')}`];
  const lines = isTable(values) ? table(values) : values.flatMap(renderItem);
  return [`${indent}${name}:`, ...lines.map((line) => indent + INDENT + line)];
}

/** A record of a list that is no table: its first line starts with a dash. */
function renderItem(record: Decoded): string[] {
  return render(record).map((line, i) => (i === 0 ? '- ' : INDENT) + line);
}

function isTable(records: readonly Decoded[]): boolean {
  const columns = new Set(records.flatMap((record) => Object.keys(record)));
  const flat = records.every((record) => Object.values(record).every((value) => typeof value !== 'object'));
  return flat && columns.size <= MAX_COLUMNS;
}

function table(records: readonly Decoded[]): string[] {
  const names = [...new Set(records.flatMap((record) => Object.keys(record)))];
  const rows = [
    names.map((name) => name.replaceAll('_', ' ')),
    ...records.map((record) => names.map((name) => plain(record[name] ?? ''))),
  ];
  const widths = names.map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
}

/** A value without parts of its own; whatever has parts is written as `--json` has it. */
function plain(value: Value): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function isRecord(value: Value): value is Decoded {
  return typeof value === 'object' && !Array.isArray(value);
}
