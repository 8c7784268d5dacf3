import test from 'ava';
import { type CpuProfile, flameGraph } from '../../bench/flame-graph.ts';

const node = (id: number, functionName: string, url: string, children: number[] = []) => ({
  id,
  callFrame: { functionName, url, lineNumber: id },
  children,
});

const PROFILE: CpuProfile = {
  nodes: [
    node(1, '(root)', '', [2, 5]),
    node(2, 'accept', 'file:///dist/src/fabrics/vhost-user/request-queue.js', [3, 4]),
    node(3, 'execute<T>', 'file:///dist/src/scsi/device-server.js'),
    node(4, 'never', 'file:///dist/src/scsi/never.js'),
    node(5, '(idle)', ''),
  ],
  samples: [3, 5, 2, 3],
  timeDeltas: [200, 1000, 100, 100],
};

test('a function is as wide as its share, what it called included and idle time left out', (t) => {
  const svg = flameGraph(PROFILE);
  t.regex(svg, /<title>accept request-queue\.js:3, 100\.0 %<\/title><rect x="0\.0" y="48" width="1199\.5"/);
  t.regex(
    svg,
    /<title>execute&lt;T> device-server\.js:4, 75\.0 %<\/title><rect x="0\.0" y="30" width="899\.5"/,
  );
  t.notRegex(svg, /idle/);
});

test('a function that was never seen to run has no bar', (t) => {
  t.notRegex(flameGraph(PROFILE), /never/);
});

test('a profile without samples is an empty picture', (t) => {
  t.notRegex(flameGraph({ ...PROFILE, samples: [], timeDeltas: [] }), /<title>/);
});
