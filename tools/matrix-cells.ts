/** The combinations of QEMU, firmware and device options that `make matrix` boots. */
import type { GuestOptions } from '../qemu/guest.ts';
import type { Properties, VhostUserScsi } from '../qemu/machine.ts';

export interface Qemu {
  readonly name: string;
  /** For `MachineOptions.qemu`; undefined is the installed one. */
  readonly command: readonly string[] | undefined;
}

export interface Cell {
  readonly title: string;
  readonly qemu: Qemu;
  readonly machine: Pick<GuestOptions, 'vehicle' | 'firmware' | 'cpus' | 'memoryMiB' | 'machine'>;
  readonly device: Pick<VhostUserScsi, 'kind' | 'interface' | 'queues' | 'device'>;
  /** Options of the disk that is written, after its size. */
  readonly disk: string;
  /** Arguments of `lunport serve`. */
  readonly serve: readonly string[];
}

type Variation = Partial<Omit<Cell, 'title' | 'qemu'>>;

const BOOTS = [
  ['kernel by SeaBIOS', { vehicle: 'initrd', firmware: 'seabios' }],
  ['kernel by OVMF', { vehicle: 'initrd', firmware: 'ovmf' }],
  ['disk by SeaBIOS', { vehicle: 'disk', firmware: 'seabios' }],
  ['disk by OVMF', { vehicle: 'disk', firmware: 'ovmf' }],
] as const;

const INTERFACES = ['', 'transitional', 'non-transitional'] as const;

const option = (device: Properties): Variation => ({ device: { device } });

/** Each changes one thing of a guest that boots its kernel directly. */
const VARIATIONS: readonly (readonly [title: string, change: Variation])[] = [
  ['1 CPU, 1 queue', { machine: { vehicle: 'initrd', cpus: 1 }, device: { queues: 1 } }],
  ['1 CPU, 4 queues', { machine: { vehicle: 'initrd', cpus: 1 }, device: { queues: 4 } }],
  ['2 CPUs, 1 queue', { device: { queues: 1 } }],
  ['2 CPUs, 8 queues', { device: { queues: 8 } }],
  ['packed rings', option({ packed: true })],
  ['packed rings, modern only', { device: { interface: 'non-transitional', device: { packed: true } } }],
  ['packed rings without event index', option({ packed: true, event_idx: false })],
  ['rings of 32', option({ virtqueue_size: 32 })],
  ['rings of 1024', option({ virtqueue_size: 1024 })],
  ['no indirect descriptors', option({ indirect_desc: false })],
  ['no event index', option({ event_idx: false })],
  ['no MSI-X', option({ vectors: 0 })],
  ['small requests', option({ max_sectors: 8, cmd_per_lun: 1 })],
  ['protection information', option({ t10_pi: true })],
  ['i440FX', { machine: { vehicle: 'initrd', machine: 'pc' } }],
  ['memory above 4 GiB', { machine: { vehicle: 'initrd', memoryMiB: 2560 } }],
  ['blocks of 4096', { disk: ',block-size=4096' }],
  ['O_DIRECT', { disk: ',cache=none' }],
  ['write-through', { disk: ',cache=writethrough' }],
  ['I/O in threads', { serve: ['--io', 'threads'] }],
];

const BLK: Variation = { device: { kind: 'blk' }, serve: ['--blk'] };
const blk = (device: Properties): Variation => ({ ...BLK, device: { kind: 'blk', device } });

/** As VARIATIONS, of virtio block devices. */
const BLK_VARIATIONS: readonly (readonly [title: string, change: Variation])[] = [
  [
    '1 CPU, 4 queues',
    { ...BLK, machine: { vehicle: 'initrd', cpus: 1 }, device: { kind: 'blk', queues: 4 } },
  ],
  ['packed rings', blk({ packed: true })],
  ['rings of 32', blk({ 'queue-size': 32 })],
  ['rings of 1024', blk({ 'queue-size': 1024 })],
  ['no indirect descriptors', blk({ indirect_desc: false })],
  ['no event index', blk({ event_idx: false })],
  ['a cache that cannot be switched', blk({ 'config-wce': false })],
  ['no discard, no zeroes', blk({ discard: false, 'write-zeroes': false })],
  ['blocks of 4096', { ...BLK, disk: ',block-size=4096' }],
  ['write-through', { ...BLK, disk: ',cache=writethrough' }],
  ['I/O in threads', { ...BLK, serve: ['--blk', '--io', 'threads'] }],
];

const PLAIN = { machine: { vehicle: 'initrd' }, device: {}, disk: '', serve: [] } as const;

/** All cells, those of one QEMU together. */
export function cells(qemus: readonly Qemu[]): Cell[] {
  return qemus.flatMap((qemu) => {
    const title = (name: string) => `QEMU ${qemu.name}, ${name}`;
    return [
      ...BOOTS.flatMap(([boot, machine]) =>
        INTERFACES.map((name) => ({
          ...{ ...PLAIN, title: title(`${boot}, ${name || 'default'} interface`), qemu, machine },
          device: { interface: name },
        })),
      ),
      ...VARIATIONS.map(([name, change]) => ({ ...PLAIN, title: title(name), qemu, ...change })),
      ...BOOTS.flatMap(([boot, machine]) =>
        INTERFACES.map((name) => ({
          ...{
            ...PLAIN,
            ...BLK,
            title: title(`blk, ${boot}, ${name || 'default'} interface`),
            qemu,
            machine,
          },
          device: { kind: 'blk', interface: name } as const,
        })),
      ),
      ...BLK_VARIATIONS.map(([name, change]) => ({
        ...PLAIN,
        title: title(`blk, ${name}`),
        qemu,
        ...change,
      })),
    ];
  });
}
