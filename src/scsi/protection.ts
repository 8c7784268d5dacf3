/**
 * The protection state of a unit: with which type its medium is formatted, and where protection information
 * lives. That is a backstore of its own beside the data, eight bytes per block, so that the data stays a plain
 * image.
 *
 * There the bytes are inverted: what was never written, and what is unmapped, reads as zeroes and so means
 * FFFFFFFF_FFFFFFFFh, "do not check" (SBC-3 4.22.2), without anybody having to write that.
 */
import type { Backstore } from './backstore.ts';
import type { BlockDevice } from './block-device.ts';
import { blockLimits } from './block-limits.ts';
import { PI_LENGTH, type ProtectionType } from './protection-information.ts';

/** Name in the state store. */
const ENTRY = 'protection-type';

export class Protection {
  /** With which type the medium is formatted: the one thing the path of a READ looks at. */
  type: ProtectionType;
  /** Absent: the unit knows no protection information (PROTECT is 0 in INQUIRY). */
  readonly backstore: Backstore | undefined;
  private readonly device: BlockDevice;

  constructor(device: BlockDevice, backstore: Backstore | undefined) {
    this.device = device;
    this.backstore = backstore;
    this.type = backstore === undefined ? 0 : this.storedType();
  }

  /** Whether FORMAT UNIT can turn it on. */
  get supported(): boolean {
    return this.backstore !== undefined && this.backstore.byteLength >= this.device.blockCount * PI_LENGTH;
  }

  /** After a format; durable when it resolves. */
  async setType(type: ProtectionType): Promise<void> {
    this.type = type;
    this.device.limits = blockLimits(this.device);
    await this.device.store?.save(ENTRY, `${type}`);
  }

  private storedType(): ProtectionType {
    const stored = Number(this.device.store?.load(ENTRY) ?? this.device.attributes.pi_prot_type);
    return stored === 1 || stored === 2 || stored === 3 ? stored : 0;
  }
}

/** Inverts the first `length` bytes in place: between what is stored and what it means. */
export function invert(bytes: Uint8Array, length: number): void {
  for (let i = 0; i < length; i++) bytes[i] = ~bytes[i];
}
