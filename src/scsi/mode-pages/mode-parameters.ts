/**
 * The values of a unit's mode pages (SPC-4 5.10): current, saved, default and changeable. Only bits that MODE
 * SELECT may change are kept; all others are always what the page's row says, so that a page about the capacity
 * follows the capacity.
 */
import type { BlockDevice } from '../block-device.ts';
import { loadRecord } from '../stored-record.ts';
import { blockDeviceModePages } from './block-device-pages.ts';
import { headerLength, type ModePage } from './mode-page.ts';

/** PAGE CONTROL of MODE SENSE (SPC-4 table 212). */
export const PageControl = { CURRENT: 0, CHANGEABLE: 1, DEFAULT: 2, SAVED: 3 } as const;
export type PageControl = (typeof PageControl)[keyof typeof PageControl];

const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;

/** New values of one page, header included, checked by the caller. */
export interface ModeChange {
  readonly page: ModePage;
  readonly values: Uint8Array;
}

/** Under which name the saved values stand in the unit's StateStore. */
const STORE_NAME = 'mode-pages';

export class ModeParameters {
  readonly pages: readonly ModePage[];
  private readonly device: BlockDevice;
  private current = new Map<ModePage, Uint8Array>();
  private saved: Map<ModePage, Uint8Array>;
  /** Saves are written one after the other, oldest first. */
  private lastSave: Promise<void> = Promise.resolve();

  constructor(device: BlockDevice) {
    this.device = device;
    this.pages = blockDeviceModePages.filter(
      (page) => page.supported === undefined || page.supported(device),
    );
    this.saved = this.savedValues(loadRecord(device.store, STORE_NAME));
    this.restore();
  }

  /** Whether MODE SELECT can save: the unit has a durable store. */
  get savable(): boolean {
    return this.device.store !== undefined;
  }

  /** The pages that MODE SENSE means by a page code and a subpage code, in order. */
  matching(code: number, subpage: number): ModePage[] {
    return this.pages.filter(
      (page) =>
        (code === ALL_PAGES || page.code === code) && (subpage === ALL_SUBPAGES || page.subpage === subpage),
    );
  }

  find(code: number, subpage: number): ModePage | undefined {
    return this.pages.find((page) => page.code === code && page.subpage === subpage);
  }

  /** The whole page; PS is left to the caller. */
  values(page: ModePage, control: PageControl): Uint8Array {
    switch (control) {
      case PageControl.CURRENT:
        return this.merge(page, this.current.get(page));
      case PageControl.DEFAULT:
        return page.defaults(this.device);
      case PageControl.SAVED:
        return this.merge(page, this.saved.get(page));
      case PageControl.CHANGEABLE:
        return this.changeable(page);
    }
  }

  /** Puts values into force that `MODE SELECT` has checked. */
  change(changes: readonly ModeChange[]): void {
    for (const { page, values } of changes) {
      this.current.set(page, values);
      page.apply?.(this.device, values);
    }
  }

  /** The changes that lead back to the default values (RTD of MODE SELECT). */
  defaults(): ModeChange[] {
    return this.pages
      .filter((page) => page.changeable !== undefined)
      .map((page) => ({ page, values: page.defaults(this.device) }));
  }

  /** Makes the current values of all pages the saved ones; resolves when they are on stable storage. */
  save(): Promise<void> {
    const saved = new Map(this.current);
    const write = async () => {
      await this.device.store!.save(STORE_NAME, JSON.stringify(this.format(saved)));
      this.saved = saved;
    };
    // A save that failed was its own caller's problem, not that of the next one.
    this.lastSave = this.lastSave.then(write, write);
    return this.lastSave;
  }

  /** Back to the saved values, or to the defaults: after power on and resets (SPC-4 5.10). */
  restore(): void {
    this.current = new Map(this.saved);
    for (const page of this.pages) page.apply?.(this.device, this.values(page, PageControl.CURRENT));
  }

  private changeable(page: ModePage): Uint8Array {
    const mask = page.defaults(this.device);
    mask.fill(0, headerLength(page.subpage));
    for (const [byte, bits] of page.changeable?.(this.device) ?? []) mask[byte] |= bits;
    return mask;
  }

  /** The row's values with those bits replaced that were changed and may be. */
  private merge(page: ModePage, changed: Uint8Array | undefined): Uint8Array {
    const values = page.defaults(this.device);
    if (changed === undefined) return values;
    for (const [byte, bits] of page.changeable?.(this.device) ?? []) {
      values[byte] = (values[byte] & ~bits) | (changed[byte] & bits);
    }
    return values;
  }

  private format(saved: Map<ModePage, Uint8Array>): Record<string, number[]> {
    return Object.fromEntries([...saved].map(([page, values]) => [storeKey(page), [...values]]));
  }

  /** Saved values of pages that we still have, in the length that they still have; anything else is dropped. */
  private savedValues(stored: Record<string, unknown>): Map<ModePage, Uint8Array> {
    const saved = new Map<ModePage, Uint8Array>();
    for (const page of this.pages) {
      const bytes = stored[storeKey(page)];
      if (!Array.isArray(bytes)) continue;
      const values = Uint8Array.from(bytes);
      const valid = values.length === page.defaults(this.device).length;
      if (valid && page.check?.(values) === undefined) saved.set(page, values);
    }
    return saved;
  }
}

function storeKey(page: ModePage): string {
  return `${page.code}/${page.subpage}`;
}
