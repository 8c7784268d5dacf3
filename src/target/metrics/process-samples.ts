/** What Prometheus users look for in every process, under the names that are usual. */
import { readdirSync } from 'node:fs';
import type { Sample } from './families.ts';

export function processSamples(version: string): Sample[] {
  const { user, system } = process.cpuUsage();
  return [
    { name: 'lunport_build_info', labels: { version }, value: 1 },
    { name: 'process_cpu_seconds_total', labels: {}, value: (user + system) / 1e6 },
    { name: 'process_resident_memory_bytes', labels: {}, value: process.memoryUsage.rss() },
    { name: 'process_open_fds', labels: {}, value: readdirSync('/proc/self/fd').length },
    { name: 'process_start_time_seconds', labels: {}, value: Date.now() / 1000 - process.uptime() },
  ];
}
