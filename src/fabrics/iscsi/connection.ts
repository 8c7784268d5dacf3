/**
 * One TCP connection of an initiator: reads PDUs, hands each to its handler by opcode, and sends PDUs with the
 * connection's StatSN and the session's command window. Any breach of protocol ends it with a reason.
 */
import type { Socket } from 'node:net';
import { crc32c } from './crc32c.ts';
import { dispatch } from './full-feature.ts';
import { Bhs, InitiatorOpcode, LoginStatus, NO_TAG, OPCODE_MASK, TargetOpcode } from './iscsi-spec.ts';
import { LoginPhase } from './login.ts';
import { MAX_RECEIVE_DATA_SEGMENT, type SessionParameters } from './parameters.ts';
import { header } from './pdu-builder.ts';
import { type Pdu, PduReader } from './pdu-reader.ts';
import type { Portal } from './portal.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import type { Session } from './session.ts';
import { TextExchange } from './text-exchange.ts';

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
  readonly text = new TextExchange(this);
  session: Session | undefined = undefined;
  closeReason: string | undefined = undefined;
  /** Whether anything arrived since the last look (keep-alive.ts), and for how many looks nothing has. */
  heard = true;
  silentTicks = 0;
  private statSn = 1;
  private readonly reader: PduReader;
  private readonly loginTimer: NodeJS.Timeout;
  private digests = { header: false, data: false };
  private transferTag = 0;
  private fullFeature = false;
  /** Whether the answer to a login waits for the end of an old session: nothing is read until then. */
  private entering = false;
  /** Whether it only waits for its last bytes to go out. */
  private finishing = false;
  private corked = false;

  constructor(socket: Socket, portal: Portal) {
    this.socket = socket;
    this.portal = portal;
    this.login = new LoginPhase(portal);
    this.reader = new PduReader({ maxDataLength: 8192, headerDigest: false, dataDigest: false });
    this.loginTimer = setTimeout(() => this.close('login took too long'), LOGIN_TIMEOUT);
    this.loginTimer.unref();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      if (this.finishing) return;
      this.heard = true;
      this.reader.push(chunk);
      this.process();
    });
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
    if (this.closeReason !== undefined || this.finishing) return;
    const length = data?.length ?? 0;
    pdu.writeUIntBE(length, Bhs.DATA_LENGTH, 3);
    if (options.status || pdu[Bhs.OPCODE] !== TargetOpcode.DATA_IN)
      pdu.writeUInt32BE(this.statSn, Bhs.STAT_SN);
    if (options.status) this.statSn = (this.statSn + 1) >>> 0;
    if (this.session !== undefined) {
      pdu.writeUInt32BE(this.session.window.expected, Bhs.EXP_CMD_SN);
      pdu.writeUInt32BE(this.session.maxCmdSn(), Bhs.MAX_CMD_SN);
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

  /** Asks whether the initiator is still there: a NOP-In that wants an answer (RFC 7143 11.19). */
  ping(): void {
    const pdu = header(TargetOpcode.NOP_IN, NO_TAG);
    pdu.writeUInt32BE(this.nextTransferTag(), Bhs.TRANSFER_TAG);
    this.send(pdu, undefined, { status: false });
  }

  /** Calls back when everything sent so far has left for the kernel, or never will. */
  afterWrites(callback: () => void): void {
    if (this.socket.destroyed || this.socket.writableEnded) callback();
    else this.socket.write(EMPTY, () => callback());
  }

  /** Ends the connection; the session follows when this was its last one. */
  close(reason: string): void {
    if (this.closeReason !== undefined) return;
    this.closeReason = reason;
    clearTimeout(this.loginTimer);
    this.socket.destroy();
    this.portal.node.connectionClosed(this, reason);
  }

  /** Lets what was sent go out, then closes. */
  finish(reason: string): void {
    if (this.closeReason !== undefined || this.finishing) return;
    this.finishing = true;
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

  private process(): void {
    try {
      while (this.closeReason === undefined && !this.entering && !this.finishing) {
        const pdu = this.reader.next();
        if (pdu === undefined) return;
        if (this.fullFeature) dispatch(this, pdu);
        else this.handleLogin(pdu);
      }
    } catch (error) {
      this.failed(error);
    }
  }

  /** A breach of protocol, or a defect of ours: both end this connection, and nothing else. */
  private failed(error: unknown): void {
    const { log } = this.portal.node;
    if (error instanceof IscsiProtocolError) return this.close(error.message);
    log.error(`iSCSI: a defect ends the connection of ${this.initiatorName}: ${(error as Error).stack}`);
    this.close('internal error');
  }

  private handleLogin(pdu: Pdu): void {
    if ((pdu.header[Bhs.OPCODE] & OPCODE_MASK) !== InitiatorOpcode.LOGIN) {
      throw new IscsiProtocolError('a PDU other than Login Request before login');
    }
    const { status, flags, text, finished } = this.login.handle(pdu);
    const request = Buffer.from(pdu.header);
    if (!finished || status !== LoginStatus.SUCCESS) {
      this.answerLogin(request, flags, text, status, this.login.tsih);
      return;
    }
    this.entering = true;
    this.portal.node
      .enter(this, request.readUInt32BE(Bhs.CMD_SN))
      .then((entry) => {
        this.entering = false;
        if (entry.status === LoginStatus.SUCCESS) this.loggedIn();
        this.answerLogin(request, flags, text, entry.status, entry.tsih);
        if (entry.status === LoginStatus.SUCCESS) this.enterFullFeature();
        this.process();
      })
      .catch((error: unknown) => this.failed(error));
  }

  private answerLogin(request: Buffer, flags: number, text: Buffer, status: number, tsih: number): void {
    const success = status === LoginStatus.SUCCESS;
    const taskTag = request.readUInt32BE(Bhs.TASK_TAG);
    const pdu = header(TargetOpcode.LOGIN_RESPONSE, taskTag, success ? flags : 0);
    request.copy(pdu, Bhs.ISID, Bhs.ISID, Bhs.ISID + 6);
    pdu.writeUInt16BE(tsih, Bhs.TSIH);
    pdu.writeUInt16BE(status, Bhs.LOGIN_STATUS);
    // Until there is a session, the window is the request's own number: login is immediate.
    pdu.writeUInt32BE(request.readUInt32BE(Bhs.CMD_SN), Bhs.EXP_CMD_SN);
    pdu.writeUInt32BE(request.readUInt32BE(Bhs.CMD_SN), Bhs.MAX_CMD_SN);
    this.send(pdu, success ? text : undefined, { status: success });
    if (!success) this.finish(`login refused with status ${status.toString(16).padStart(4, '0')}h`);
  }

  private loggedIn(): void {
    clearTimeout(this.loginTimer);
    // What is negotiated once for all connections of a session stays as the first one had it.
    if (this.session !== undefined) inheritSessionWide(this.login.parameters, this.session.parameters);
  }

  /** From the next PDU on, after the last login response. */
  private enterFullFeature(): void {
    const { parameters } = this.login;
    this.fullFeature = true;
    this.digests = { header: parameters.headerDigest, data: parameters.dataDigest };
    this.reader.limits.headerDigest = parameters.headerDigest;
    this.reader.limits.dataDigest = parameters.dataDigest;
    this.reader.limits.maxDataLength = MAX_RECEIVE_DATA_SEGMENT;
  }
}

function inheritSessionWide(own: SessionParameters, session: SessionParameters): void {
  const { headerDigest, dataDigest, maxSendDataSegmentLength } = own;
  Object.assign(own, session, { headerDigest, dataDigest, maxSendDataSegmentLength });
}

const ZEROES = Buffer.alloc(4);

/** Digests travel least significant byte first (RFC 7143 13.1). */
function digestBytes(crc: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(crc);
  return bytes;
}
