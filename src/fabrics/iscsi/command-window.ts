/**
 * The command window of a session (RFC 7143 4.2.2): the order of commands by CmdSN over all its connections, and
 * back-pressure by MaxCmdSN. Serial numbers are signed 32-bit integers here, which V8 keeps without an object.
 */
import type { Connection } from './connection.ts';
import { costOf, type HeldBytes } from './held-bytes.ts';
import { Bhs, serialLess } from './iscsi-spec.ts';
import type { Pdu } from './pdu.ts';
import { IscsiProtocolError } from './protocol-error.ts';

/** Commands that an initiator may have under way. */
export const WINDOW = 128;
/** Bytes that requests of one session may hold while they wait for their turn. */
const MAX_EARLY_BYTES = 8 << 20;

/** A request that arrived before its turn, and the unsolicited data that followed it. */
interface EarlyRequest {
  readonly connection: Connection;
  readonly pdu: Pdu;
  readonly handler: PduHandler;
  readonly later: { readonly pdu: Pdu; readonly handler: PduHandler }[];
}

/** What a connection does with a PDU. */
export type PduHandler = (connection: Connection, pdu: Pdu) => void;

export class CommandWindow {
  /** ExpCmdSN: the next one to be delivered. */
  expected: number;
  private maximum: number;
  /** By CmdSN; undefined for one that counts as received, with nothing behind it. */
  private readonly early = new Map<number, EarlyRequest | undefined>();
  private earlyBytes = 0;
  private readonly held: HeldBytes;

  /** `held` is what all sessions share. */
  constructor(first: number, held: HeldBytes) {
    this.held = held;
    this.expected = first;
    this.maximum = (first + WINDOW - 1) | 0;
  }

  /** Hands `pdu` to `handler` when every request before `cmdSn` was delivered; at once in the usual case. */
  deliver(cmdSn: number, connection: Connection, pdu: Pdu, handler: PduHandler): void {
    if (!this.awaits(cmdSn)) return;
    if (cmdSn !== this.expected) {
      this.hold(pdu);
      this.early.set(cmdSn, { connection, pdu: pdu.copy(), handler, later: [] });
      return;
    }
    this.expected = (cmdSn + 1) | 0;
    handler(connection, pdu);
    if (this.early.size > 0) this.deliverEarly();
  }

  /** Takes unsolicited data of a request that waits for its turn; false when there is none with that tag. */
  holdData(taskTag: number, pdu: Pdu, handler: PduHandler): boolean {
    for (const request of this.early.values()) {
      if (request === undefined || taskTagOf(request.pdu) !== taskTag) continue;
      this.hold(pdu);
      request.later.push({ pdu: pdu.copy(), handler });
      return true;
    }
    return false;
  }

  /**
   * Counts `cmdSn` as received without anything behind it: a command that was lost, or that is to be dropped before
   * it ran (RFC 7143 11.6.1). False when it was delivered already.
   */
  plug(cmdSn: number): boolean {
    if (serialLess(cmdSn, this.expected) || serialLess(this.maximum, cmdSn)) return false;
    const request = this.early.get(cmdSn);
    if (request !== undefined) this.forget(request);
    this.early.set(cmdSn, undefined);
    this.deliverEarly();
    return true;
  }

  /** Plugs the places of all that waits for its turn and satisfies `matches`. */
  plugEarly(matches: (pdu: Pdu) => boolean): void {
    for (const [cmdSn, request] of this.early) {
      if (request !== undefined && matches(request.pdu)) this.plug(cmdSn);
    }
  }

  /** MaxCmdSN as a response carries it, with room for `room` commands: never narrower than it once was. */
  advance(room: number): number {
    const candidate = (this.expected + room - 1) | 0;
    if (serialLess(this.maximum, candidate)) this.maximum = candidate;
    return this.maximum;
  }

  /** Nothing that waits will ever run. */
  clear(): void {
    for (const request of this.early.values()) if (request !== undefined) this.forget(request);
    this.early.clear();
  }

  /** Whether `cmdSn` is one that we still wait for; the RFC has everything else ignored. */
  private awaits(cmdSn: number): boolean {
    return !serialLess(cmdSn, this.expected) && !serialLess(this.maximum, cmdSn) && !this.early.has(cmdSn);
  }

  private deliverEarly(): void {
    while (this.early.has(this.expected)) {
      const request = this.early.get(this.expected);
      this.early.delete(this.expected);
      this.expected = (this.expected + 1) | 0;
      if (request === undefined) continue;
      this.forget(request);
      request.handler(request.connection, request.pdu);
      for (const { pdu, handler } of request.later) handler(request.connection, pdu);
    }
  }

  private hold(pdu: Pdu): void {
    if (this.earlyBytes + costOf(pdu) > MAX_EARLY_BYTES)
      throw new IscsiProtocolError('too much data for commands that wait for an earlier CmdSN');
    this.held.take(pdu);
    this.earlyBytes += costOf(pdu);
  }

  private forget(request: EarlyRequest): void {
    this.release(request.pdu);
    for (const { pdu } of request.later) this.release(pdu);
  }

  private release(pdu: Pdu): void {
    this.held.give(pdu);
    this.earlyBytes -= costOf(pdu);
  }
}

function taskTagOf(pdu: Pdu): number {
  return pdu.header.readInt32BE(Bhs.TASK_TAG);
}
