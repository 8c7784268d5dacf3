/**
 * Runs libiscsi's iscsi-test-cu, one process per test, since one that crashes must not hide the rest and state
 * left by one changes the next. A test that passed after printing [SKIPPED] counts as skipped (CUnit does not).
 */
import { spawn } from 'node:child_process';
import { startServe } from '../test/support/serve-process.ts';
import type { Dress } from './iscsi-dresses.ts';

export type Verdict = 'passed' | 'failed' | 'skipped' | 'crashed';

export interface SuiteResult {
  /** FAMILY.SUITE.TEST */
  readonly name: string;
  readonly verdict: Verdict;
  /** Why it was skipped, or the tail of what a failed one printed. */
  readonly detail: string;
  readonly dress: string;
}

/** Milliseconds for one test. */
const TIMEOUT = 180_000;

interface Run {
  readonly code: number | null;
  readonly output: string;
}

/** Debian's, or another one's path. */
const PROGRAM = process.env.ISCSI_TEST_CU ?? 'iscsi-test-cu';

function run(args: readonly string[], milliseconds: number): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'] });
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
export async function runTest(name: string, urls: readonly string[], dress: string): Promise<SuiteResult> {
  const { code, output } = await run(
    ['--dataloss', '--allow-sanitize', '-V', `--test=${name}`, ...urls],
    TIMEOUT,
  );
  return { name, dress, ...judge(code, output) };
}

/** Every test of `tests` in its dress, against a lunport of its own per dress. */
export async function runDresses(
  dresses: readonly Dress[],
  tests: readonly string[],
): Promise<SuiteResult[]> {
  // Slow ones sleep for the most part, and so do not disturb the others.
  const slow = dresses.filter((dress) => dress.slow).map((dress) => runDress(dress, tests));
  const results: SuiteResult[] = [];
  for (const dress of dresses) if (!dress.slow) results.push(...(await runDress(dress, tests)));
  return results.concat(...(await Promise.all(slow)));
}

async function runDress(dress: Dress, tests: readonly string[]): Promise<SuiteResult[]> {
  const wanted = tests.filter((name) => dress.only.test(name));
  if (wanted.length === 0) return [];
  const portals = new Array(dress.urls).fill(['--iscsi', '127.0.0.1:0']).flat();
  const server = await startServe([dress.disk], { serveArguments: [...portals, ...(dress.options ?? [])] });
  const urls = server.iscsi.map((url) => url.replace('://', `://${dress.login ?? ''}`));
  const results: SuiteResult[] = [];
  try {
    for (const name of wanted) results.push(await runTest(name, urls, dress.name));
  } finally {
    await server.stop();
  }
  return results;
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
  const lines = output.split('\n').filter((line) => /^\s+\d+\. /.test(line));
  return lines.slice(0, 6).join('\n');
}
