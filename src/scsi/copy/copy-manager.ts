/**
 * The copy manager of one logical unit (SPC-4 5.17.1): how many copies run at once, and what became of them, for
 * initiators that ask later.
 */
import type { ItlNexus } from '../nexus.ts';
import { CopyLimit, CopyStatus } from './copy-spec.ts';

/** What is known of one copy. */
export class CopyRecord {
  /** Of the command that started it. */
  readonly serviceAction: number;
  status: CopyStatus = CopyStatus.IN_PROGRESS;
  segmentsProcessed = 0;
  /** Bytes written so far. */
  transferred = 0;
  /** What POPULATE TOKEN made. */
  token: Uint8Array | undefined = undefined;
  /** Status code and sense data of a copy that failed. */
  failure: { readonly status: number; readonly sense: Uint8Array } | undefined = undefined;
  /** RECEIVE COPY STATUS(LID1) tells the outcome once (SPC-4 6.25). */
  isTold = false;

  constructor(serviceAction: number) {
    this.serviceAction = serviceAction;
  }
}

export class CopyManager {
  private readonly records = new WeakMap<ItlNexus, Map<number, CopyRecord>>();
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  /** The last copy with this LIST IDENTIFIER of this initiator; 8-bit identifiers are among those of 32 (5.17.4.2). */
  record(itl: ItlNexus, listId: number): CopyRecord | undefined {
    return this.records.get(itl)?.get(listId);
  }

  /** Opens a record in place of an older one; undefined when a copy of that name is still under way. */
  open(itl: ItlNexus, listId: number, serviceAction: number): CopyRecord | undefined {
    let records = this.records.get(itl);
    if (records === undefined) {
      records = new Map();
      this.records.set(itl, records);
    }
    if (records.get(listId)?.status === CopyStatus.IN_PROGRESS) return undefined;
    // To the end of the order, in which the oldest are forgotten.
    records.delete(listId);
    const record = new CopyRecord(serviceAction);
    records.set(listId, record);
    this.forgetOldest(records);
    return record;
  }

  /** Logical unit reset and I_T nexus loss end what is known of an initiator's copies (SPC-4 5.17.4.3). */
  forget(itl: ItlNexus): void {
    this.records.delete(itl);
  }

  /** Resolves when it is a copy's turn; `leave` follows. */
  async enter(): Promise<void> {
    if (this.running < CopyLimit.CONCURRENT) {
      this.running++;
      return;
    }
    // Whoever leaves hands its place over.
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  leave(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.running--;
    else next();
  }

  private forgetOldest(records: Map<number, CopyRecord>): void {
    for (const [listId, { status }] of records) {
      if (records.size <= CopyLimit.KEPT) return;
      if (status !== CopyStatus.IN_PROGRESS) records.delete(listId);
    }
  }
}
