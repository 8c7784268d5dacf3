/**
 * `make conformance`: libiscsi's suite against lunport over iSCSI, every test in a process of its own, in each of
 * the dresses that some test needs (plain, read-only, removable, CHAP …). A test's verdict is the best
 * of its dresses: passed before skipped; but one failure anywhere is a failure.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { listTests, runTest, type SuiteResult } from './iscsi-suite.ts';

interface Dress {
  readonly name: string;
  /** DISK of `lunport serve`. */
  readonly disk: string;
  /** Which tests are run in it; in the first dress all of them. */
  readonly only?: RegExp;
  readonly urls: number;
  readonly options?: readonly string[];
  /** `user%secret@` in the URL. */
  readonly login?: string;
}

const PORT = 13260;
const IQN = 'iqn.2026-01.io.lunport:conformance';
const DRESSES: readonly Dress[] = [
  { name: 'plain', disk: 'ram:128M', urls: 1 },
  { name: 'multipath', disk: 'ram:128M', urls: 2, only: /Multipath/ },
  { name: 'read-only', disk: 'ram:128M,ro', urls: 1, only: /ReadOnly/ },
  { name: 'removable', disk: 'ram:128M,removable', urls: 1, only: /PreventAllow|StartStopUnit|NoMedia/ },
  {
    name: 'CHAP',
    disk: 'ram:128M',
    urls: 1,
    only: /CHAP/,
    options: ['--chap', '0xlunport:0x6c756e706f7274736563726574'],
    login: '0xlunport%0x6c756e706f7274736563726574@',
  },
];

async function serve(dress: Dress): Promise<ChildProcess> {
  const main = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
  const args = ['serve', dress.disk, '--iscsi', `127.0.0.1:${PORT}`, '--iqn', IQN, '--json', '--ephemeral'];
  const child = spawn(process.execPath, [main, ...args, ...(dress.options ?? [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return child;
}

function urlsOf(dress: Dress): string[] {
  return new Array(dress.urls).fill(`iscsi://${dress.login ?? ''}127.0.0.1:${PORT}/${IQN}/0`);
}

const RANK = { crashed: 3, failed: 3, passed: 2, skipped: 1 } as const;

async function main(): Promise<void> {
  const pattern = new RegExp(process.env.T ?? '');
  const tests = (await listTests()).filter((name) => pattern.test(name));
  const results = new Map<string, SuiteResult & { dress: string }>();
  for (const dress of DRESSES) {
    const wanted = tests.filter((name) => dress.only === undefined || dress.only.test(name));
    if (wanted.length === 0) continue;
    const child = await serve(dress);
    try {
      for (const name of wanted) {
        const result = await runTest(name, urlsOf(dress));
        const previous = results.get(name);
        if (previous === undefined || RANK[result.verdict] > RANK[previous.verdict]) {
          results.set(name, { ...result, dress: dress.name });
        }
      }
    } finally {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  }
  report([...results.values()]);
}

function report(results: readonly (SuiteResult & { dress: string })[]): void {
  const suites = new Map<string, Record<string, number>>();
  for (const { name, verdict, dress, detail } of results) {
    const suite = name.split('.')[1];
    const counts = suites.get(suite) ?? { passed: 0, failed: 0, skipped: 0, crashed: 0 };
    counts[verdict]++;
    suites.set(suite, counts);
    if (verdict !== 'passed')
      console.log(`${verdict}: ${name} (${dress})${detail === '' ? '' : `\n    ${detail}`}`);
  }
  for (const [suite, { passed, failed, skipped, crashed }] of suites) {
    console.log(`${suite}: ${passed} passed, ${failed + crashed} failed, ${skipped} skipped`);
  }
  const count = (verdict: string) => results.filter((result) => result.verdict === verdict).length;
  const failed = count('failed') + count('crashed');
  console.log(
    `conformance: ${count('passed')} passed, ${failed} failed, ${count('skipped')} skipped of ${results.length}`,
  );
  if (failed > 0) process.exitCode = 1;
}

await main();
