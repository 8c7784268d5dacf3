/**
 * One TCP connection of an initiator: reads PDUs, hands each to its handler by opcode, and sends PDUs with the
 * connection's StatSN and the session's command window. Any breach of protocol ends it with a reason.
 */
import type { Socket } from 'node:net';
import type { CommandFields } from './command.ts';
import { crc32c } from './crc32c.ts';
import { fullFeatureHandlers, rejectPdu } from './full-feature.ts';
import { Bhs, InitiatorOpcode, LoginStatus, NO_TAG, OPCODE_MASK, TargetOpcode } from './iscsi-spec.ts';
import { LoginPhase } from './login.ts';
import { MAX_RECEIVE_DATA_SEGMENT, type SessionParameters } from './parameters.ts';
import { header } from './pdu-builder.ts';
import { type Pdu, PduReader } from './pdu-reader.ts';
import type { Portal } from './portal.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import type { Session } from './session.ts';

/** Milliseconds from accept to full feature phase. */
const LOGIN_TIMEOUT = 15_000;
/** Bytes waiting in the socket beyond which we stop reading further requests: a slow reader gets no more. */
const HIGH_WATER = 16 << 20;
const EMPTY = Buffer.alloc(0);

export interface SendOptions {
  /** Whether the PDU carries a status, and so a StatSN of its own. */
  readonly status: boolean;
}

export class Connection {
  readonly socket: Socket;
  readonly portal: Portal;
  readonly login: LoginPhase;
  session: Session | undefined = undefined;
  /** Set once login is over. */
  discovery = false;
  statSn = 1;
  closeReason: string | undefined = undefined;
  /** Text of a text negotiation that arrives in pieces. */
  pendingText: Buffer = EMPTY;
  /** The rest of a text answer that did not fit into one PDU. */
  pendingAnswer: Buffer | undefined = undefined;
  private readonly reader: PduReader;
  private readonly loginTimer: NodeJS.Timeout;
  private digests = { header: false, data: false };
  private transferTag = 0;
  private fullFeature = false;
  private corked = false;

  constructor(socket: Socket, portal: Portal) {
    this.socket = socket;
    this.portal = portal;
    this.login = new LoginPhase(portal);
    this.reader = new PduReader({ maxDataLength: 8192, headerDigest: false, dataDigest: false });
    this.loginTimer = setTimeout(() => this.close('login took too long'), LOGIN_TIMEOUT);
    this.loginTimer.unref();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('drain', () => socket.resume());
    socket.on('error', (error) => this.close(error.message));
    socket.on('close', () => this.close('the initiator closed the connection'));
  }

  get initiatorName(): string {
    return this.login.initiatorName;
  }

  /** What this connection may send: data segment lengths are negotiated per connection. */
  get sendParameters(): SessionParameters {
    return this.login.parameters;
  }

  nextTransferTag(): number {
    this.transferTag = (this.transferTag + 1) % NO_TAG;
    return this.transferTag;
  }

  /** Sends a PDU; fills in StatSN, ExpCmdSN and MaxCmdSN. `data` must not change until it is written. */
  send(pdu: Buffer, data: Uint8Array | undefined, options: SendOptions): void {
    if (this.closeReason !== undefined) return;
    const length = data?.length ?? 0;
    pdu.writeUIntBE(length, Bhs.DATA_LENGTH, 3);
    if (options.status || pdu[Bhs.OPCODE] !== TargetOpcode.DATA_IN)
      pdu.writeUInt32BE(this.statSn, Bhs.STAT_SN);
    if (options.status) this.statSn = (this.statSn + 1) >>> 0;
    if (this.session !== undefined) {
      pdu.writeUInt32BE(this.session.expCmdSn, Bhs.EXP_CMD_SN);
      pdu.writeUInt32BE(this.session.updateWindow(), Bhs.MAX_CMD_SN);
    }
    this.cork();
    this.socket.write(pdu);
    if (this.digests.header) this.socket.write(digestBytes(crc32c(pdu)));
    if (data === undefined || length === 0) return;
    this.socket.write(data);
    const padding = -length & 3;
    if (padding > 0) this.socket.write(ZEROES.subarray(0, padding));
    if (this.digests.data) this.socket.write(digestBytes(crc32c(ZEROES, 0, padding, crc32c(data))));
  }

  /** Calls back when everything sent so far has left for the kernel, or never will. */
  afterWrites(callback: () => void): void {
    if (this.socket.destroyed) callback();
    else this.socket.write(EMPTY, () => callback());
  }

  reject(reason: number, fields: CommandFields): void {
    const pdu = header(0, fields.taskTag);
    rejectPdu(this, reason, pdu);
  }

  /** Ends the connection; the session follows when this was its last one. */
  close(reason: string): void {
    if (this.closeReason !== undefined) return;
    this.closeReason = reason;
    clearTimeout(this.loginTimer);
    this.socket.destroy();
    this.portal.connectionClosed(this, reason);
  }

  /** Lets what was sent go out, then closes. */
  finish(reason: string): void {
    if (this.closeReason !== undefined) return;
    this.socket.end(() => this.close(reason));
  }

  private cork(): void {
    if (this.corked) return;
    this.corked = true;
    this.socket.cork();
    process.nextTick(() => {
      this.corked = false;
      this.socket.uncork();
      if (this.socket.writableLength > HIGH_WATER) this.socket.pause();
    });
  }

  private receive(chunk: Buffer): void {
    this.reader.push(chunk);
    try {
      for (
        let pdu = this.reader.next();
        pdu !== undefined && this.closeReason === undefined;
        pdu = this.reader.next()
      ) {
        if (this.fullFeature) this.dispatch(pdu);
        else this.handleLogin(pdu);
      }
    } catch (error) {
      if (!(error instanceof IscsiProtocolError)) throw error;
      this.close(error.message);
    }
  }

  private dispatch(pdu: Pdu): void {
    const handler = fullFeatureHandlers[pdu.header[Bhs.OPCODE] & OPCODE_MASK];
    if (handler === undefined)
      throw new IscsiProtocolError(`opcode ${pdu.header[0] & OPCODE_MASK}, which is unknown`);
    handler(this, pdu);
  }

  private handleLogin(pdu: Pdu): void {
    if ((pdu.header[Bhs.OPCODE] & OPCODE_MASK) !== InitiatorOpcode.LOGIN) {
      throw new IscsiProtocolError('a PDU other than Login Request before login');
    }
    const answer = this.login.handle(pdu);
    let { status } = answer;
    let tsih = this.login.tsih;
    if (answer.finished && status === LoginStatus.SUCCESS) {
      const joined = this.portal.enter(this, pdu.header.readUInt32BE(Bhs.CMD_SN));
      status = joined.status;
      tsih = joined.tsih;
    }
    this.answerLogin(pdu, answer.flags, answer.text, status, tsih);
    if (status !== LoginStatus.SUCCESS)
      this.finish(`login refused with status ${status.toString(16).padStart(4, '0')}h`);
    else if (answer.finished) this.enterFullFeature();
  }

  private answerLogin(request: Pdu, flags: number, text: Buffer, status: number, tsih: number): void {
    const pdu = header(TargetOpcode.LOGIN_RESPONSE, request.header.readUInt32BE(Bhs.TASK_TAG), flags);
    request.header.copy(pdu, Bhs.ISID, Bhs.ISID, Bhs.ISID + 6);
    pdu.writeUInt16BE(tsih, Bhs.TSIH);
    pdu.writeUInt16BE(status, 36);
    // Until there is a session, the window is the request's own number: login is immediate.
    pdu.writeUInt32BE(request.header.readUInt32BE(Bhs.CMD_SN), Bhs.EXP_CMD_SN);
    pdu.writeUInt32BE(request.header.readUInt32BE(Bhs.CMD_SN), Bhs.MAX_CMD_SN);
    if (this.statSn === 1) this.statSn = request.header.readUInt32BE(Bhs.EXP_STAT_SN) || 1;
    this.send(pdu, text, { status: status === LoginStatus.SUCCESS });
  }

  private enterFullFeature(): void {
    clearTimeout(this.loginTimer);
    const { parameters } = this.login;
    this.fullFeature = true;
    this.discovery = this.login.discovery;
    this.digests = { header: parameters.headerDigest, data: parameters.dataDigest };
    this.reader.limits.headerDigest = parameters.headerDigest;
    this.reader.limits.dataDigest = parameters.dataDigest;
    this.reader.limits.maxDataLength = MAX_RECEIVE_DATA_SEGMENT;
  }
}

const ZEROES = Buffer.alloc(4);

/** Digests travel least significant byte first (RFC 7143 13.1). */
function digestBytes(crc: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(crc);
  return bytes;
}
