/** A target with one disk in plain arrays and an initiator on it: what a test of the core starts from. */
import { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import type { BackstoreCapabilities, BackstoreSpace } from '../../src/scsi/backstore.ts';
import type { BlockDevice } from '../../src/scsi/block-device.ts';
import { DEFAULT_ATTRIBUTES, type DeviceAttributes } from '../../src/scsi/device-attributes.ts';
import { Disk } from '../../src/scsi/disk.ts';
import type { Environment, Timer } from '../../src/scsi/environment.ts';
import { LunMap } from '../../src/scsi/lun-map.ts';
import { Nexus } from '../../src/scsi/nexus.ts';
import type { TargetPort } from '../../src/scsi/port.ts';
import type { ReservationOptions } from '../../src/scsi/reservations.ts';
import type { StateStore } from '../../src/scsi/state-store.ts';
import { WellKnownUnit } from '../../src/scsi/well-known-unit.ts';
import { ArrayBackstore } from './array-backstore.ts';
import { HeapMemory } from './heap-memory.ts';

/** An environment whose clock stands still until it is turned. */
class TestEnvironment implements Environment {
  readonly memory = new HeapMemory();
  /** Absent, a defect is thrown on to whoever sent the command. */
  defect?: (error: unknown) => void;
  private time = Date.UTC(2026, 0, 1);
  private timers: { due: number; callback: () => void }[] = [];

  now(): number {
    return this.time;
  }

  after(milliseconds: number, callback: () => void): Timer {
    const timer = { due: this.time + milliseconds, callback };
    this.timers.push(timer);
    return {
      cancel: () => {
        this.timers = this.timers.filter((other) => other !== timer);
      },
    };
  }

  /** Lets `milliseconds` pass; due timers fire in order. */
  advance(milliseconds: number): void {
    const end = this.time + milliseconds;
    for (;;) {
      const next = this.timers.filter((timer) => timer.due <= end).sort((a, b) => a.due - b.due)[0];
      if (next === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.time = next.due;
      next.callback();
    }
    this.time = end;
  }
}

/** A store in memory: what survives a restart of a test's target. */
export class TestStore implements StateStore {
  readonly texts = new Map<string, string>();

  load(name: string): string | undefined {
    return this.texts.get(name);
  }

  async save(name: string, text: string): Promise<void> {
    this.texts.set(name, text);
  }
}

export const TEST_IDENTITY = {
  vendor: 'LUNPORT',
  product: 'TEST DISK',
  revision: '0001',
  serial: '0123456789abcdef',
  naa: Uint8Array.of(0x60, 0x01, 0x40, 0x50, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
};

export interface CoreOptions extends ReservationOptions {
  /** Bytes; default 1 MiB. */
  readonly byteLength?: number;
  readonly attributes?: Partial<DeviceAttributes>;
  readonly capabilities?: Partial<BackstoreCapabilities>;
  readonly store?: StateStore;
  /** Give the disk a place for protection information; default false. */
  readonly protection?: boolean;
  readonly removable?: boolean;
  /** What the disk holds when the unit starts; default zeroes. */
  readonly content?: Uint8Array;
  /** What the backstore says about the space that it has; default: it cannot tell. */
  readonly space?: () => BackstoreSpace;
  /** Start with a backstore that waits for `releaseHeld`. */
  readonly hold?: boolean;
  /** Leave the power-on unit attention pending; default false. */
  readonly powerOn?: boolean;
}

export class Core {
  readonly environment = new TestEnvironment();
  readonly backstore: ArrayBackstore;
  /** Where protection information lives, when there is any. */
  readonly protection: ArrayBackstore | undefined;
  readonly disk: BlockDevice;
  readonly lunMap = new LunMap(new WellKnownUnit(this.environment, TEST_IDENTITY));
  /** An initiator on LUN 0, its power-on unit attention gone. */
  readonly initiator: Initiator;
  private readonly powerOn: boolean;

  constructor(options: CoreOptions = {}) {
    this.backstore = new ArrayBackstore(
      this.environment.memory,
      options.byteLength ?? 1 << 20,
      options.capabilities,
    );
    if (options.content !== undefined) this.backstore.bytes.set(options.content);
    this.backstore.hold = options.hold ?? false;
    this.backstore.space = options.space;
    this.protection = options.protection
      ? new ArrayBackstore(this.environment.memory, this.backstore.byteLength / 64)
      : undefined;
    this.disk = new Disk(this.environment, this.backstore, {
      identity: TEST_IDENTITY,
      attributes: { ...DEFAULT_ATTRIBUTES, ...options.attributes },
      store: options.store,
      protection: this.protection,
      removable: options.removable,
      powerOnId: options.powerOnId,
      damagedReservations: options.damagedReservations,
    });
    this.lunMap.add(0, this.disk);
    this.powerOn = options.powerOn ?? false;
    this.initiator = this.connect('naa.5000000000000001');
  }

  /** A further initiator, through target port `relativeId`. */
  connect(name: string, relativeId = 1): Initiator {
    const targetPort: TargetPort = { name: `naa.500140500000000${relativeId}`, relativeId, protocol: 6 };
    const nexus = new Nexus({ name, transportId: sasTransportId(name) }, targetPort, this.lunMap);
    if (!this.powerOn) for (const itl of nexus.itlNexuses()) itl.unitAttentions.clearAll();
    return new Initiator(nexus, this.environment);
  }
}

/** TransportID of a SAS initiator port (SPC-4 7.6.4.6) from `naa.` and 16 hexadecimal digits. */
function sasTransportId(name: string): Uint8Array {
  const id = new Uint8Array(24);
  id[0] = 0x06;
  const digits = name.replace(/^naa\./, '').padStart(16, '0');
  for (let i = 0; i < 8; i++) id[4 + i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return id;
}
