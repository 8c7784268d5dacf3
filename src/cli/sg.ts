/** `lunport sg …`: the habits of sg3-utils without a kernel device, on a disk or on a LUN that is served. */
import { Command } from 'commander';
import { stateDirectory } from '../target/directories.ts';
import { DISK_OPTIONS_HELP, UsageError } from '../target/disk-spec.ts';
import { ExitCode } from './exit-codes.ts';
import type { Decoded } from './sg/decoded.ts';
import { parsePage } from './sg/page-name.ts';
import { type PersistOptions, persist } from './sg/persist.ts';
import { type RawOptions, rawCommand } from './sg/raw.ts';
import { render } from './sg/render.ts';
import * as reports from './sg/reports.ts';
import { SgSession } from './sg/session.ts';

const EXAMPLES = `
DISK is what "lunport serve" takes: a file, a block device, ram:SIZE or null:SIZE. It is opened with the same
locks, so a disk that is being served is not touched; what --state keeps (reservations, saved pages) is used.
A LUN of a running lunport is named by its target's socket: SOCKET:LUN, or SOCKET for LUN 0.

${DISK_OPTIONS_HELP}

Examples:
  lunport sg inq disk.img
  lunport sg vpd disk.img --page bl --json
  lunport sg persist disk.img --register --param-sark 0xabc
  lunport sg persist /tmp/vm1.sock:1 --initiator host
  lunport sg raw disk.img -r 36 12 00 00 00 24 00`;

interface CommonOptions {
  readonly json?: true;
  readonly initiator: string;
  readonly state?: string;
  readonly ephemeral?: true;
}

type Work = (session: SgSession) => Promise<Decoded | undefined>;

/** `ended` receives the exit code. */
export function sgCommand(ended: (code: number) => void): Command {
  const program = new Command('sg')
    .description('Ask a disk in SCSI: inquiry, pages, reservations, raw CDBs.')
    .addHelpText('after', EXAMPLES);

  const add = (name: string, description: string): Command => {
    const command = new Command(name)
      .description(description)
      .argument('<disk>', 'the disk, with options after commas; or SOCKET:LUN')
      .option('--json', 'one JSON document on stdout')
      .option('--initiator <name>', 'which initiator to be: reservations tell them apart', 'initiator')
      .option('--state <directory>', 'where reservations are kept (default: in the state directory)')
      .option('--ephemeral', 'know no reservations, and keep none');
    program.addCommand(command);
    return command;
  };
  const run = async (disk: string, options: CommonOptions, work: Work): Promise<void> => {
    const state = options.ephemeral ? undefined : (options.state ?? stateDirectory());
    const session = { disk, initiator: options.initiator, stateDirectory: state };
    const decoded = await SgSession.with(session, work);
    // A command without data says nothing to people, and to programs that it went well.
    if (options.json) print(decoded ?? { status: 'GOOD' }, true);
    else if (decoded !== undefined) print(decoded, false);
    ended(ExitCode.OK);
  };

  add('inq', 'standard INQUIRY data').action((disk, options) => run(disk, options, reports.standardInquiry));
  add('vpd', 'vital product data')
    .option('-p, --page <page>', 'page by number (83h, 0x83, 131) or acronym (di, bl, lbpv…)')
    .option('-a, --all', 'every page that is supported')
    .action((disk, options) =>
      run(
        disk,
        options,
        options.all ? reports.allVpdPages : reports.vpdPage(parsePage('vpd', options.page ?? '0')),
      ),
    );
  add('opcodes', 'supported operation codes, or task management functions')
    .option('-t, --tmf', 'task management functions')
    .action((disk, options) =>
      run(disk, options, options.tmf ? reports.taskManagement : reports.operationCodes),
    );
  add('readcap', 'capacity, block lengths, provisioning').action((disk, options) =>
    run(disk, options, reports.capacity),
  );
  add('luns', 'LUNs that the target reports')
    .option('-s, --select <report>', 'SELECT REPORT: 0 addressed, 1 well known, 2 all', '0')
    .action((disk, options) => run(disk, options, reports.luns(integer('--select', options.select))));
  add('modes', 'mode pages')
    .option('-p, --page <page[,subpage]>', 'by number or acronym (ca, co…); default: all')
    .option('-c, --control <control>', '0 current, 1 changeable, 2 default, 3 saved', '0')
    .action((disk, options) => {
      const page = options.page === undefined ? reports.ALL_MODE_PAGES : parsePage('mode', options.page);
      return run(disk, options, reports.modePages(page, integer('--control', options.control, 3)));
    });
  add('logs', 'log pages')
    .option('-p, --page <page[,subpage]>', 'by number; default: the list of pages', '0')
    .option('-a, --all', 'every page that is supported')
    .action((disk, options) =>
      run(disk, options, options.all ? reports.allLogPages : reports.logPage(parsePage('log', options.page))),
    );
  add('turs', 'TEST UNIT READY').action((disk, options) => run(disk, options, reports.testUnitReady));
  add('sync', 'SYNCHRONIZE CACHE')
    .option('-l, --lba <lba>', 'first block', '0')
    .option('-n, --count <blocks>', 'number of blocks; 0: up to the end', '0')
    .action((disk, options) =>
      run(
        disk,
        options,
        reports.synchronize(integer('--lba', options.lba), integer('--count', options.count)),
      ),
    );
  add('unmap', 'UNMAP a range')
    .requiredOption('-l, --lba <lba>', 'first block')
    .requiredOption('-n, --num <blocks>', 'number of blocks')
    .action((disk, options) =>
      run(disk, options, reports.unmapRange(integer('--lba', options.lba), integer('--num', options.num))),
    );
  addPersist(add('persist', 'persistent reservations: with no action, keys and reservation'), run);
  addRaw(add('raw', 'a CDB of your own, in hexadecimal'), run);
  return program;
}

type Run = (disk: string, options: CommonOptions, work: Work) => Promise<void>;

function addPersist(command: Command, run: Run): void {
  command
    .option('-k, --read-keys', 'READ KEYS')
    .option('-r, --read-reservation', 'READ RESERVATION')
    .option('-c, --report-capabilities', 'REPORT CAPABILITIES')
    .option('-s, --read-full-status', 'READ FULL STATUS')
    .option('-G, --register', 'REGISTER --param-sark (from --param-rk)')
    .option('-I, --register-ignore', 'REGISTER AND IGNORE EXISTING KEY')
    .option('-R, --reserve', 'RESERVE with --prout-type')
    .option('-L, --release', 'RELEASE with --prout-type')
    .option('-C, --clear', 'CLEAR')
    .option('-P, --preempt', 'PREEMPT --param-sark')
    .option('-A, --preempt-abort', 'PREEMPT AND ABORT --param-sark')
    .option('-K, --param-rk <key>', 'RESERVATION KEY, hexadecimal', '0')
    .option('-S, --param-sark <key>', 'SERVICE ACTION RESERVATION KEY, hexadecimal', '0')
    .option('-T, --prout-type <type>', '1, 3, 5, 6, 7 or 8', '0')
    .option('-Z, --param-aptpl', 'survive power loss (APTPL)')
    .option('-Y, --param-alltgpt', 'register at all target ports (ALL_TG_PT)')
    .action((disk, options: CommonOptions & PersistOptions) => run(disk, options, persist(options)));
}

function addRaw(command: Command, run: Run): void {
  command
    .argument('<cdb...>', 'the CDB, bytes or digits in hexadecimal')
    .option('-r, --request <bytes>', 'receive up to so many bytes')
    .option('-o, --outfile <file>', 'write what was received there; default: print it')
    .option('-s, --send <bytes>', 'send so many bytes from --infile')
    .option('-i, --infile <file>', 'what to send; - is standard input')
    .action((disk, cdb: string[], options: CommonOptions & RawOptions) =>
      run(disk, options, rawCommand(cdb, options)),
    );
}

/** Throws UsageError. */
function integer(option: string, text: string, maximum = Number.MAX_SAFE_INTEGER): number {
  const value = /^(0x[0-9a-f]+|[0-9]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value > maximum) {
    throw new UsageError(`${option}: expected a number but received "${text}"`);
  }
  return value;
}

function print(decoded: Decoded, json: boolean): void {
  process.stdout.write(
    json ? `${JSON.stringify(decoded, undefined, 2)}\n` : `${render(decoded).join('\n')}\n`,
  );
}
