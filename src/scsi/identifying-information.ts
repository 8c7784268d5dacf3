/** What a system's owner writes on the disk's label (SPC-4 6.31, 6.44): kept across restarts. */
import type { StateStore } from './state-store.ts';
import { loadRecord } from './stored-record.ts';

/** IDENTIFYING INFORMATION TYPE (SPC-4 table 285) and the most bytes of each. */
export const InformationType = { PERIPHERAL_DEVICE: 0x00, TEXT: 0x02 } as const;

const MAXIMUM_LENGTH: ReadonlyMap<number, number> = new Map([
  [InformationType.PERIPHERAL_DEVICE, 512],
  [InformationType.TEXT, 256],
]);

const STORE_NAME = 'identifying-information';

export class IdentifyingInformation {
  private readonly store: StateStore | undefined;
  /** Bytes by type. */
  private values: Record<string, unknown>;
  /** Saves are written one after the other, oldest first. */
  private lastSave: Promise<void> = Promise.resolve();

  constructor(store: StateStore | undefined) {
    this.store = store;
    this.values = loadRecord(store, STORE_NAME);
  }

  /** Types in ascending order with their maximum lengths in bytes. */
  get types(): readonly (readonly [type: number, maximumLength: number])[] {
    return [...MAXIMUM_LENGTH];
  }

  /** Most bytes of a type; undefined for types that there are not. */
  maximumLength(type: number): number | undefined {
    return MAXIMUM_LENGTH.get(type);
  }

  get(type: number): Uint8Array {
    const value = this.values[type];
    return Array.isArray(value) ? Uint8Array.from(value) : new Uint8Array(0);
  }

  /** Resolves when it is on stable storage; only units with a store offer the command. */
  set(type: number, information: Uint8Array): Promise<void> {
    const write = async () => {
      const values = { ...this.values, [type]: [...information] };
      await this.store!.save(STORE_NAME, JSON.stringify(values));
      this.values = values;
    };
    this.lastSave = this.lastSave.then(write, write);
    return this.lastSave;
  }
}
