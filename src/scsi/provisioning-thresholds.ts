/**
 * Soft thresholds of thin provisioning (SBC-3 4.7.3.8): when the space below runs short, every initiator hears
 * 38/07 once, until there was enough space again in between.
 */
import type { BlockDevice } from './block-device.ts';
import { provisioningAbilities } from './block-limits.ts';
import { Sense } from './sense-spec.ts';

/** THRESHOLD RESOURCE (SBC-3 table 158). */
export const ThresholdResource = { AVAILABLE: 0x01, USED: 0x02 } as const;

/** Bytes of a threshold set, the unit of every count; also how much is written between two looks at the space. */
const SET_BYTES = 1 << 20;

export interface Threshold {
  /** AVAILABLE is reached when it falls to the count, USED when it rises to it. */
  readonly resource: number;
  /** Threshold sets. */
  readonly count: number;
}

export class ProvisioningThresholds {
  /** Whether any threshold is set: the one thing the path of a WRITE looks at. */
  armed = false;
  private readonly device: BlockDevice;
  private thresholds: readonly Threshold[] = [];
  private readonly reached = new Set<number>();
  private unchecked = 0;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  get supported(): boolean {
    return this.device.backstore.space !== undefined && provisioningAbilities(this.device).managed;
  }

  /** THRESHOLD EXPONENT: a threshold set is two to this many logical blocks. 0: no thresholds. */
  get exponent(): number {
    return this.supported ? Math.log2(SET_BYTES / this.device.blockSize) : 0;
  }

  /** How many threshold sets of a resource there are now. */
  count(resource: number): number {
    const { used, available } = this.device.backstore.space!();
    return Math.floor((resource === ThresholdResource.AVAILABLE ? available : used) / SET_BYTES);
  }

  set(thresholds: readonly Threshold[]): void {
    this.thresholds = thresholds;
    this.armed = thresholds.length > 0;
    this.reached.clear();
    this.check();
  }

  /** Called after every write while `armed`. */
  wrote(bytes: number): void {
    this.unchecked += bytes;
    if (this.unchecked >= SET_BYTES) this.check();
  }

  check(): void {
    this.unchecked = 0;
    for (const [i, { resource, count }] of this.thresholds.entries()) {
      const now = this.count(resource);
      if (resource === ThresholdResource.AVAILABLE ? now > count : now < count) this.reached.delete(i);
      else if (!this.reached.has(i)) {
        this.reached.add(i);
        this.device.establishForAll(Sense.THIN_PROVISIONING_SOFT_THRESHOLD_REACHED);
      }
    }
  }
}
