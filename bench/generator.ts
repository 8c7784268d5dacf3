/**
 * The load generator, a process of its own: `node dist/bench/generator.js '<MeasurementRequest as JSON>'` makes
 * the load over the vhost-user socket and prints a MeasurementResult as JSON. The target may be anything that
 * speaks vhost-user-scsi or vhost-user-blk.
 */
import { VirtioFeature } from '../src/fabrics/vhost-user/virtio-spec.ts';
import { DriverQueue } from '../test/support/vhost-user/driver-queue.ts';
import { FrontEnd, hasFeature } from '../test/support/vhost-user/front-end.ts';
import { GuestMemory } from '../test/support/vhost-user/guest-memory.ts';
import { cpuSeconds } from './cpu-time.ts';
import { Load } from './load.ts';
import { LoadQueue } from './load-queue.ts';
import type { MeasurementRequest, MeasurementResult } from './measurement.ts';
import { RequestSequence } from './pattern.ts';
import { BLK_FORMAT, SCSI_FORMAT } from './request-format.ts';

const MEBIBYTE = 1 << 20;
/** For rings, headers and responses. */
const MEMORY_BESIDES_DATA = 16 * MEBIBYTE;

/** Counters around the measured time. */
class CpuObserver {
  /** Seconds. */
  target = 0;
  own = 0;
  private readonly pid: number;

  constructor(pid: number) {
    this.pid = pid;
  }

  started(): void {
    this.target = -cpuSeconds(this.pid);
    this.own = -ownCpuSeconds();
  }

  ended(): void {
    this.own += ownCpuSeconds();
    this.target += cpuSeconds(this.pid);
  }
}

function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

async function measure(request: MeasurementRequest): Promise<MeasurementResult> {
  const { pattern, depth } = request;
  const format = request.device === 'blk' ? BLK_FORMAT : SCSI_FORMAT;
  const dataBytes = pattern.requestBytes * depth * request.queues;
  const memory = new GuestMemory([
    { guestAddress: 0, length: MEMORY_BESIDES_DATA + Math.ceil(dataBytes / MEBIBYTE) * MEBIBYTE },
  ]);
  const frontEnd = FrontEnd.connect(request.socket);
  await frontEnd.negotiate();
  await frontEnd.shareMemory(memory);
  const eventIdx = hasFeature(frontEnd.features, VirtioFeature.RING_EVENT_IDX);
  const indirect = request.indirect && hasFeature(frontEnd.features, VirtioFeature.RING_INDIRECT_DESC);
  // The control and event queues, as a guest has them; nothing is ever put there.
  const others = Array.from({ length: format.firstQueue }, () => new DriverQueue(memory, { eventIdx }));
  const queues = Array.from(
    { length: request.queues },
    () => new LoadQueue(memory, { slots: depth, pattern, format, eventIdx, indirect }),
  );
  const rings = [...others, ...queues];
  for (const [index, ring] of rings.entries()) await frontEnd.setUpRing(index, ring, memory);
  for (const index of rings.keys()) await frontEnd.enableRing(index);

  const cpu = new CpuObserver(request.targetPid);
  const load = new Load(queues);
  const sequence = new RequestSequence(pattern, request.diskBytes);
  const result = load.run(sequence, request.warmUpSeconds, request.seconds, cpu);

  for (const index of rings.keys()) await frontEnd.getVringBase(index);
  frontEnd.close();
  const { histogram } = load;
  const { requests, seconds } = result;
  return {
    iops: requests / seconds,
    bytesPerSecond: (requests * pattern.requestBytes) / seconds,
    mean: histogram.mean() / 1000,
    p50: histogram.percentile(0.5) / 1000,
    p99: histogram.percentile(0.99) / 1000,
    p999: histogram.percentile(0.999) / 1000,
    targetCpu: (cpu.target * 1e6) / requests,
    generatorCpu: (cpu.own * 1e6) / requests,
    kicks: result.kicks / requests,
    failed: result.failed,
    lost: result.lost,
  };
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2]) as MeasurementRequest)));
// Rings and memory live until here on purpose: a target that answers late must find them.
process.exit(0);
