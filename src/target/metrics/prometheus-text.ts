/** Samples in Prometheus's text format (version 0.0.4). */
import { Counter, Gauge, Registry } from 'prom-client';
import { FAMILIES, type FamilyName, type Sample } from './families.ts';

export const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Families without a sample are left out. */
export function prometheusText(samples: readonly Sample[]): Promise<string> {
  const registry = new Registry();
  const metrics = new Map<FamilyName, Counter | Gauge>();
  for (const { name, labels, value } of samples) {
    let metric = metrics.get(name);
    if (metric === undefined) {
      const { type, help, labels: labelNames } = FAMILIES[name];
      const options = { name, help, labelNames, registers: [registry] };
      metric = type === 'counter' ? new Counter(options) : new Gauge(options);
      metrics.set(name, metric);
    }
    metric.inc(labels, value);
  }
  return registry.metrics();
}
