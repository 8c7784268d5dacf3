/** Text negotiation in the full feature phase (RFC 7143 6.2, 11.10, 11.11), in as many PDUs as it takes. */
import type { Connection } from './connection.ts';
import { Bhs, CONTINUE, FINAL, NO_TAG, RejectReason, TargetOpcode } from './iscsi-spec.ts';
import { negotiate } from './login.ts';
import { OPERATIONAL_KEYS, REJECT } from './parameters.ts';
import type { Pdu } from './pdu.ts';
import { headerWithoutTransfer } from './pdu-builder.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import { rejectPdu } from './reject.ts';
import { sendTargets } from './send-targets.ts';
import { formatText, MAX_TEXT_LENGTH, parseText } from './text.ts';

const EMPTY = Buffer.alloc(0);
/** The only key that a full feature phase may still declare (RFC 7143 13.12). */
const CHANGEABLE = 'MaxRecvDataSegmentLength';

export class TextExchange {
  private readonly connection: Connection;
  /** What the initiator must name to go on; NO_TAG: nothing is under way. */
  private transferTag: number = NO_TAG;
  /** Text of a request that arrives in pieces. */
  private received: Buffer = EMPTY;
  /** The rest of an answer that did not fit into one PDU. */
  private unsent: Buffer = EMPTY;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  request(pdu: Pdu): void {
    const { connection } = this;
    const transferTag = pdu.header.readUInt32BE(Bhs.TRANSFER_TAG);
    // Without a tag it is a new negotiation, whatever came of the one before (RFC 7143 11.10.4).
    if (transferTag === NO_TAG) this.reset();
    else if (transferTag !== this.transferTag)
      return rejectPdu(connection, RejectReason.INVALID_PDU_FIELD, pdu.header);
    // While an answer is under way nothing more may be asked: it would grow without end (RFC 7143 11.11.2).
    if (this.unsent.length > 0 && pdu.dataLength > 0)
      throw new IscsiProtocolError('a text request before all of the answer to the last was fetched');
    this.received = Buffer.concat([this.received, pdu.data]);
    if (this.received.length > MAX_TEXT_LENGTH) throw new IscsiProtocolError('a text request without end');
    const flags = pdu.header[Bhs.FLAGS];
    if ((flags & CONTINUE) === 0) {
      const answer = answerText(connection, parseText(this.received));
      this.received = EMPTY;
      if (answer === undefined) {
        this.reset();
        return rejectPdu(connection, RejectReason.PROTOCOL_ERROR, pdu.header);
      }
      this.unsent = Buffer.concat([this.unsent, answer]);
    }
    this.respond(pdu.header.readUInt32BE(Bhs.TASK_TAG), (flags & FINAL) !== 0);
  }

  private respond(taskTag: number, initiatorIsDone: boolean): void {
    const { connection } = this;
    const part = this.unsent.subarray(0, connection.sendParameters.maxSendDataSegmentLength);
    this.unsent = this.unsent.subarray(part.length);
    const last = this.unsent.length === 0;
    // F may only answer an F (RFC 7143 11.11.1).
    const final = last && initiatorIsDone;
    const flags = final ? FINAL : last ? 0 : CONTINUE;
    const response = headerWithoutTransfer(TargetOpcode.TEXT_RESPONSE, taskTag, flags);
    if (final) this.reset();
    else {
      this.transferTag = connection.nextTransferTag();
      response.writeUInt32BE(this.transferTag, Bhs.TRANSFER_TAG);
    }
    connection.send(response, true, part);
  }

  private reset(): void {
    this.transferTag = NO_TAG;
    this.received = EMPTY;
    this.unsent = EMPTY;
  }
}

/**
 * Undefined when nothing in the request could be answered otherwise than by a refusal: that is a failed negotiation
 * (RFC 7143 7.10), and libiscsi hears of it by a Reject only.
 */
function answerText(connection: Connection, keys: ReadonlyMap<string, string>): Buffer | undefined {
  const answers: [string, string][] = [];
  const changes = new Map<string, string>();
  let refused = 0;
  for (const [key, value] of keys) {
    const targets = key === 'SendTargets' ? sendTargets(connection, value) : undefined;
    if (targets !== undefined) answers.push(...targets);
    else if (key === CHANGEABLE) changes.set(key, value);
    else {
      refused++;
      answers.push([key, key === 'SendTargets' || OPERATIONAL_KEYS.has(key) ? REJECT : 'NotUnderstood']);
    }
  }
  if (refused > 0 && refused === keys.size) return undefined;
  const negotiated = new Map<string, string>();
  negotiate(changes, connection.sendParameters, negotiated);
  return formatText([...answers, ...negotiated]);
}
