/**
 * The pages of docs/ that are made from the code: the commands of a disk and the pages of INQUIRY, MODE SENSE
 * and LOG SENSE, each from the rows that the code itself runs on.
 *
 * `node dist/tools/docs.js` writes them; a test fails when a committed page is not what would be written.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { blockDeviceCommands } from '../src/scsi/block-device-commands.ts';
import type { CommandRow } from '../src/scsi/command.ts';
import { blockDeviceLogPages } from '../src/scsi/log-pages/block-device-pages.ts';
import { blockDeviceModePages } from '../src/scsi/mode-pages/block-device-pages.ts';
import { blockDeviceVpdPages } from '../src/scsi/vpd/block-device-pages.ts';

const COMMANDS = join(import.meta.dirname, '../src/scsi/commands');

/** Test files that are not named like the command's own: by the command's file, or by the name of one row in it. */
const TESTS: Readonly<Record<string, string>> = {
  'log-select': 'log-sense',
  'persistent-reserve-out': 'reservations/reserve',
  'PERSISTENT RESERVE OUT, PREEMPT': 'reservations/preempt',
  'PERSISTENT RESERVE OUT, PREEMPT AND ABORT': 'reservations/preempt',
  'PERSISTENT RESERVE OUT, REGISTER': 'reservations/register',
  'PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY': 'reservations/register',
  'PERSISTENT RESERVE OUT, REGISTER AND MOVE': 'reservations/register',
  'prevent-allow-medium-removal': 'start-stop-unit',
  read: 'read-write',
  'read-buffer': 'buffer',
  'read-defect-data': 'old-commands',
  'receive-copy-status': 'rod-tokens',
  'receive-diagnostic-results': 'diagnostic',
  'report-identifying-information': 'identifying-information',
  'report-supported-task-management-functions': 'report-supported-operation-codes',
  'report-target-port-groups': 'alua',
  'report-timestamp': 'timestamp',
  seek: 'old-commands',
  'send-diagnostic': 'diagnostic',
  'set-identifying-information': 'identifying-information',
  'set-target-port-groups': 'alua',
  'set-timestamp': 'timestamp',
  write: 'read-write',
  'write-buffer': 'buffer',
};

const MADE_HERE = '<!-- Made by `make docs` from the code. Change the rows there, not this page. -->';

/** Every page that is made: its path from the package's root, and its text. */
export async function pages(): Promise<{ path: string; text: string }[]> {
  return [
    { path: 'docs/commands.md', text: await commandsPage() },
    { path: 'docs/pages.md', text: pagesPage() },
  ];
}

async function commandsPage(): Promise<string> {
  const tests = await testFiles();
  const rows = [...blockDeviceCommands.rows].sort(
    (a, b) => a.opcode - b.opcode || (a.serviceAction ?? 0) - (b.serviceAction ?? 0),
  );
  return `# Commands of a disk

${MADE_HERE}

${rows.length} commands. What a column means:

- **Code**: operation code and, after a slash, service action, hexadecimal.
- **Reservation**: what happens to the command of an initiator that a reservation keeps out. _runs_: always
  allowed. _reads_: allowed beside write exclusive reservations. _conflicts_: RESERVATION CONFLICT.
  _runs (PR)_: allowed beside persistent reservations, conflicts with RESERVE. _own rule_: the command decides,
  by what is in it.
- **Access states**: in which asymmetric access states a target port group lets it run.
- **Unit attention**: whether one that is pending is _reported_ instead, or _kept_ while the command runs.
- **Ready**: refused while the medium is stopped, ejected, formatted or sanitized.
- **Writes**: refused when the unit or the mapping is write-protected.
- **If**: only offered under conditions; otherwise INVALID COMMAND OPERATION CODE, or INVALID FIELD IN CDB for a
  service action.
- **Timeout**: nominal, seconds, as REPORT SUPPORTED OPERATION CODES tells it.

${table(
  [
    'Command',
    'Code',
    'Standard',
    'CDB',
    'Data',
    'Reservation',
    'Access states',
    'Unit attention',
    'Ready',
    'Writes',
    'If',
    'Timeout',
    'Test',
  ],
  rows.map((row) => commandCells(row, tests.get(row.name)!)),
)}
`;
}

const RESERVATION: Readonly<Record<CommandRow['reservation'], string>> = {
  allowed: 'runs',
  persistent: 'runs (PR)',
  read: 'reads',
  write: 'conflicts',
  own: 'own rule',
};

const ACCESS_STATES: Readonly<Record<CommandRow['alua'], string>> = {
  any: 'all',
  unavailable: 'all but offline, transitioning',
  standby: 'active, standby',
  active: 'active',
};

function commandCells(row: CommandRow, test: string): string[] {
  const action = row.serviceAction === undefined ? '' : `/${hex(row.serviceAction)}`;
  return [
    row.name,
    `\`${hex(row.opcode)}${action}\``,
    row.standard,
    `${row.cdbLength}`,
    row.direction,
    row.passesReservations === undefined ? RESERVATION[row.reservation] : 'own rule',
    ACCESS_STATES[row.alua],
    row.unitAttention === 'report' ? 'reported' : 'kept',
    mark(row.needsReady),
    mark(row.writes),
    mark(row.supported !== undefined),
    `${row.timeout}`,
    `[${test}](../test/scsi/${test}.test.ts)`,
  ];
}

/** Which test goes with each row, by its name: by the file that the row is written in. */
async function testFiles(): Promise<Map<string, string>> {
  const tests = new Map<string, string>();
  for (const file of readdirSync(COMMANDS)) {
    const name = /^([^.]+)\.[jt]s$/.exec(file)?.[1];
    if (name === undefined) continue;
    const module = (await import(join(COMMANDS, file))) as Record<string, unknown>;
    for (const exported of Object.values(module).filter(Array.isArray)) {
      for (const row of exported as CommandRow[]) tests.set(row.name, TESTS[row.name] ?? TESTS[name] ?? name);
    }
  }
  // Rows made for one device type, by a function, are found by the name that their file has.
  for (const row of blockDeviceCommands.rows) {
    if (!tests.has(row.name)) tests.set(row.name, row.name.toLowerCase().replaceAll(' ', '-'));
  }
  return tests;
}

function pagesPage(): string {
  const subpage = (code: number, second: number) =>
    `\`${hex(code)}\`${second === 0 ? '' : ` / \`${hex(second)}\``}`;
  return `# Pages of a disk

${MADE_HERE}

## Vital product data (INQUIRY)

${table(
  ['Page', 'Name'],
  [
    [`\`00\``, 'Supported VPD Pages'],
    ...blockDeviceVpdPages.map(({ code, name }) => [`\`${hex(code)}\``, name]),
  ],
)}

## Mode pages (MODE SENSE, MODE SELECT)

${table(
  ['Page', 'Name', 'Can be changed'],
  blockDeviceModePages.map((page) => [
    subpage(page.code, page.subpage),
    page.name,
    mark(page.changeable !== undefined),
  ]),
)}

## Log pages (LOG SENSE, LOG SELECT)

${table(
  ['Page', 'Name', 'Counters can be set to 0'],
  [
    [`\`00\``, 'Supported Log Pages', ''],
    [`\`00\` / \`ff\``, 'Supported Log Pages and Subpages', ''],
    ...blockDeviceLogPages.map((page) => [subpage(page.code, page.subpage), page.name, mark(page.clearable)]),
  ],
)}
`;
}

function hex(value: number): string {
  return value.toString(16).padStart(2, '0');
}

function mark(is: boolean | undefined): string {
  return is ? '●' : '';
}

const NARROWEST = 3;

/** Columns padded to one width, as the formatter wants them. */
function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, i) =>
    Math.max(NARROWEST, heading.length, ...rows.map((cells) => cells[i].length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  return [line(headings), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

if (import.meta.filename === process.argv[1]) {
  for (const { path, text } of await pages()) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    console.log(path);
  }
}
