/**
 * Runs libiscsi's iscsi-test-cu, one process per test, since one that crashes must not hide the rest and state
 * left by one changes the next. A test that passed after printing [SKIPPED] counts as skipped (CUnit does not).
 */
import { spawn } from 'node:child_process';

export type Verdict = 'passed' | 'failed' | 'skipped' | 'crashed';

export interface SuiteResult {
  /** FAMILY.SUITE.TEST */
  readonly name: string;
  readonly verdict: Verdict;
  /** Why it was skipped, or the tail of what a failed one printed. */
  readonly detail: string;
}

const TIMEOUT = 60_000;

interface Run {
  readonly code: number | null;
  readonly output: string;
}

function run(args: readonly string[], milliseconds: number): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn('iscsi-test-cu', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const collect = (chunk: Buffer) => {
      if (output.length < 1 << 20) output += chunk.toString('utf8');
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const timer = setTimeout(() => child.kill('SIGKILL'), milliseconds);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}

/**
 * All tests that the installed suite has, as FAMILY.SUITE.TEST. `ALL` leaves a few out (REPORT LUNS), which are
 * listed under `SCSI` alone.
 */
export async function listTests(): Promise<string[]> {
  const { output } = await run(['--list'], 10_000);
  const lines = output.split('\n').map((line) => line.trim());
  const all = lines.filter((line) => /^ALL\.[^.]+\.[^.]+$/.test(line));
  const known = new Set(all.map((name) => name.replace(/^ALL\./, 'SCSI.')));
  return [...all, ...lines.filter((line) => /^SCSI\.[^.]+\.[^.]+$/.test(line) && !known.has(line))];
}

/** One test against `urls` (one, or two for multipath), each an iscsi:// URL or a local device. */
export async function runTest(name: string, urls: readonly string[]): Promise<SuiteResult> {
  const { code, output } = await run(
    ['--dataloss', '--allow-sanitize', '-V', `--test=${name}`, ...urls],
    TIMEOUT,
  );
  return { name, ...judge(code, output) };
}

function judge(code: number | null, output: string): { verdict: Verdict; detail: string } {
  const skipped = /\[SKIPPED\]\s*(.*)/.exec(output);
  const ran = /tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)/.exec(output);
  if (code === null || ran === null) return { verdict: 'crashed', detail: tail(output) };
  if (Number(ran[4]) > 0 || code !== 0) return { verdict: 'failed', detail: tail(output) };
  if (skipped !== null || Number(ran[2]) === 0)
    return { verdict: 'skipped', detail: skipped?.[1] ?? 'nothing ran' };
  return { verdict: 'passed', detail: '' };
}

function tail(output: string): string {
  const lines = output.split('\n').filter((line) => /\[(FAILED|FAIL)\]|FAILED|\d+\. /.test(line));
  return lines.slice(0, 6).join('\n');
}
