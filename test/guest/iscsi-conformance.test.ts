/** Libiscsi's suite over iSCSI: whatever it can test passes. `make conformance` prints the details. */
import test from 'ava';
import { DRESSES, EXPLAINED } from '../../tools/iscsi-dresses.ts';
import { listTests, runDresses } from '../../tools/iscsi-suite.ts';

test('every test of libiscsi passes in its dress, but for those that have an explanation', async (t) => {
  const quick = DRESSES.filter((dress) => !dress.slow);
  const results = await runDresses(quick, await listTests());
  const others = results.filter(({ name, verdict }) => verdict !== 'passed' && !EXPLAINED.has(name));
  t.deepEqual(others, []);
  t.true(results.length >= 229, `${results.length} tests ran`);
});
