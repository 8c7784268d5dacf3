/**
 * `make conformance`: libiscsi's suite against lunport over iSCSI, every test in a process of its own, in the dress
 * that it needs (read-only, removable, CHAP …). T=REGEXP picks tests; TGT=1 runs them against tgt as well, and
 * prints its score beside ours.
 */
import { DRESSES, EXPLAINED } from './iscsi-dresses.ts';
import { listTests, runDresses, runTest, type SuiteResult, type Verdict } from './iscsi-suite.ts';
import { startTgt } from './tgt.ts';

const TGT_DISK = 128 << 20;

async function runTgt(tests: readonly string[]): Promise<SuiteResult[]> {
  const tgt = await startTgt(TGT_DISK);
  if (tgt === undefined) {
    console.log('tgt is not installed here (Debian package tgt)');
    return [];
  }
  const results: SuiteResult[] = [];
  for (const name of tests) results.push(await runTest(name, [tgt.url, tgt.url], 'tgt'));
  await tgt.stop();
  return results;
}

function count(results: readonly SuiteResult[], ...verdicts: Verdict[]): number {
  return results.filter(({ verdict }) => verdicts.includes(verdict)).length;
}

function sums(results: readonly SuiteResult[]): string {
  return (
    `${count(results, 'passed')} passed, ${count(results, 'failed', 'crashed')} failed, ` +
    `${count(results, 'skipped')} skipped of ${results.length}`
  );
}

function report(results: readonly SuiteResult[], peer: readonly SuiteResult[]): void {
  const suiteOf = ({ name }: SuiteResult) => name.split('.')[1];
  for (const suite of new Set(results.map(suiteOf))) {
    const beside =
      peer.length === 0 ? '' : `   tgt: ${sums(peer.filter((result) => suiteOf(result) === suite))}`;
    console.log(`${suite}: ${sums(results.filter((result) => suiteOf(result) === suite))}${beside}`);
  }
  for (const { name, verdict, dress, detail } of results) {
    if (verdict === 'passed') continue;
    const why = EXPLAINED.get(name) ?? detail;
    console.log(`${verdict}: ${name} (${dress})${why === '' ? '' : `\n    ${why}`}`);
  }
  if (peer.length > 0) console.log(`tgt: ${sums(peer)}`);
  console.log(`conformance: ${sums(results)}`);
}

const pattern = new RegExp(process.env.T ?? '');
const tests = (await listTests()).filter((name) => pattern.test(name));
const results = await runDresses(DRESSES, tests);
report(results, process.env.TGT === '1' ? await runTgt(tests) : []);
const unexpected = results.filter(({ name, verdict }) => verdict !== 'passed' && !EXPLAINED.has(name));
if (unexpected.length > 0) process.exitCode = 1;
