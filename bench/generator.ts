/**
 * The load generator, a process of its own: `node dist/bench/generator.js '<MeasurementRequest as JSON>'` makes
 * the load over the vhost-user socket and prints a MeasurementResult as JSON. The target may be anything that
 * speaks vhost-user-scsi or vhost-user-blk.
 */
import { CpuStopwatch } from './cpu-time.ts';
import { Load } from './load.ts';
import { openLoadDevice } from './load-device.ts';
import type { MeasurementRequest, MeasurementResult } from './measurement.ts';
import { RequestSequence } from './pattern.ts';

/** Counters around the measured time. */
class CpuObserver {
  /** Seconds. */
  target = 0;
  own = 0;
  private readonly pid: number;
  private stopwatch: CpuStopwatch | undefined;

  constructor(pid: number) {
    this.pid = pid;
  }

  started(): void {
    this.stopwatch = new CpuStopwatch(this.pid);
    this.own = -ownCpuSeconds();
  }

  ended(): void {
    this.own += ownCpuSeconds();
    this.target = this.stopwatch?.seconds() ?? 0;
  }
}

function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function measure(request: MeasurementRequest): Promise<MeasurementResult> {
  const { pattern } = request;
  const device = await openLoadDevice(request);
  const cpu = new CpuObserver(request.targetPid);
  const load = new Load(device.queues, new RequestSequence(pattern, request.diskBytes));
  load.complete(request.requestsBefore);
  const result = load.run(request.warmUpSeconds, request.seconds, cpu);
  if (result.lost === 0) await device.close();
  const { histogram } = load;
  const { requests, seconds } = result;
  return {
    iops: requests / seconds,
    bytesPerSecond: (requests * pattern.requestBytes) / seconds,
    mean: histogram.mean() / 1000,
    p50: histogram.percentile(0.5) / 1000,
    p99: histogram.percentile(0.99) / 1000,
    p999: histogram.percentile(0.999) / 1000,
    max: histogram.percentile(1) / 1000,
    targetCpu: (cpu.target * 1e6) / requests,
    generatorCpu: (cpu.own * 1e6) / requests,
    kicks: result.kicks / requests,
    failed: result.failed,
    lost: result.lost,
  };
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2]) as MeasurementRequest)));
// With requests lost the connection is still open.
process.exit(0);
