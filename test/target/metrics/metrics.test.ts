/** Metrics as a Prometheus reads them: over HTTP and the control socket, parsed by somebody else's parser. */
import { join } from 'node:path';
import test from 'ava';
import parse, { type PrometheusFamily } from 'parse-prometheus-text-format';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { FAMILIES, type Sample } from '../../../src/target/metrics/families.ts';
import { prometheusText } from '../../../src/target/metrics/prometheus-text.ts';
import { lunport } from '../../support/lunport-command.ts';
import { startServe } from '../../support/serve-process.ts';

function sampleOf(
  families: readonly PrometheusFamily[],
  name: string,
  labels: Record<string, string> = {},
): number {
  const found = families
    .find((family) => family.name === name)
    ?.metrics.filter((metric) =>
      Object.entries(labels).every(([key, value]) => metric.labels?.[key] === value),
    );
  return found?.length === 1 ? Number(found[0].value) : Number.NaN;
}

/** What `promtool check metrics` would say, as far as it concerns names. */
test('names are those that Prometheus users expect', (t) => {
  for (const [name, { type, help, labels }] of Object.entries(FAMILIES)) {
    t.regex(name, /^(lunport|process)_[a-z_]+$/, name);
    t.is(name.endsWith('_total'), type === 'counter', name);
    t.notRegex(name, /milli|micro|kilo|mega|percent|count$|sum$|bucket$|gauge|counter/, name);
    t.regex(help, /^[A-Z0-9].*\.$/, name);
    for (const label of labels) t.regex(label, /^[a-z][a-z_]*$/, name);
  }
});

test('labels may hold what ends a line or a text', async (t) => {
  const target = 'a"b\\c\nd';
  const samples: Sample[] = [{ name: 'lunport_target_initiators', labels: { target }, value: 3 }];
  t.regex(await prometheusText(samples), /lunport_target_initiators\{target="a\\"b\\\\c\\nd"\} 3/);
});

for (const shards of ['0', '2']) {
  test(`what is read and written is counted, by LUN: --shards ${shards}`, async (t) => {
    const folder = temporaryFolder();
    t.teardown(() => folder.remove());
    const socket = join(folder.path, 'a.sock');
    const other = join(folder.path, 'b.sock');
    const serve = await startServe(['ram:1M', 'ram:2M', '+', 'ram:4M'], {
      socket,
      serveArguments: ['--socket', other, '--metrics', '127.0.0.1:0', '--shards', shards],
    });
    t.teardown(() => serve.kill());
    await lunport('sg', 'raw', `${socket}:1`, '28000000000000000400', '--request', '2048');
    const response = await fetch(serve.metrics!);
    t.is(response.status, 200);
    t.regex(response.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
    const families = parse(await response.text());
    t.is(sampleOf(families, 'lunport_lun_reads_total', { target: socket, lun: '1' }), 1);
    t.is(sampleOf(families, 'lunport_lun_read_bytes_total', { target: socket, lun: '1' }), 2048);
    t.is(sampleOf(families, 'lunport_lun_read_bytes_total', { target: socket, lun: '0' }), 0);
    t.is(sampleOf(families, 'lunport_lun_size_bytes', { target: other, lun: '0' }), 4 << 20);
    t.is(sampleOf(families, 'lunport_vhost_user_connected', { socket: other }), 0);
    t.true(sampleOf(families, 'process_resident_memory_bytes') > 1 << 20);
    const { stdout } = await lunport('metrics', other);
    t.deepEqual(
      parse(stdout)
        .map(({ name }) => name)
        .sort(),
      families.map(({ name }) => name).sort(),
    );
    t.is((await fetch(serve.metrics!.replace('metrics', 'secrets'))).status, 404);
    t.is((await fetch(serve.metrics!, { method: 'POST' })).status, 405);
    t.is(await serve.stop(), 0);
  });
}
