/**
 * One TCP connection of an initiator: receives PDUs, hands each to its handler by opcode, and sends PDUs with the
 * connection's StatSN and the session's command window. Any breach of protocol ends it with a reason.
 */
import { Errno, systemError } from '../../native/errno.ts';
import { type StreamOwner, StreamSocket } from '../../native/stream-socket.ts';
import { sourceOf, type Visitor } from '../admission.ts';
import { crc32c } from './crc32c.ts';
import { dispatch } from './full-feature.ts';
import {
  BHS_LENGTH,
  Bhs,
  DIGEST_LENGTH,
  InitiatorOpcode,
  LoginStatus,
  NO_TAG,
  OPCODE_MASK,
  TargetOpcode,
} from './iscsi-spec.ts';
import { LoginPhase } from './login.ts';
import type { Flushable } from './output-batch.ts';
import { OutputQueue, type SendOwner } from './output-queue.ts';
import { MAX_RECEIVE_DATA_SEGMENT, type SessionParameters } from './parameters.ts';
import type { Pdu } from './pdu.ts';
import { header } from './pdu-builder.ts';
import { type PduOwner, PduReceiver } from './pdu-receiver.ts';
import type { Portal } from './portal.ts';
import { IscsiProtocolError } from './protocol-error.ts';
import type { Session } from './session.ts';
import { TextExchange } from './text-exchange.ts';

/** Bytes waiting to be sent beyond which we stop reading further requests: a slow reader gets no more. */
const HIGH_WATER = 16 << 20;
/** The same while all connections together have much to send. */
const HIGH_WATER_WHEN_SCARCE = 64 << 10;
/** Bytes kept of what comes before the answer to a login. */
const MAX_UNREAD = 64 << 10;
/** Bytes of data that are cheaper to copy than to name in a call of their own. */
const COPY_LIMIT = 512;
/** Receives that a connection which we end is drained with: unread bytes would make the kernel drop what we sent. */
const LAST_RECEIVES = 16;
const NOTHING = new Uint8Array(0);
const ZEROES = Buffer.alloc(4);
const digest = Buffer.alloc(DIGEST_LENGTH);

export class Connection implements StreamOwner, PduOwner, Flushable, Visitor {
  readonly portal: Portal;
  readonly login: LoginPhase;
  readonly text = new TextExchange(this);
  /** Where the initiator is; undefined: no IP address. */
  readonly peerHost: string | undefined;
  readonly source: string;
  session: Session | undefined = undefined;
  closeReason: string | undefined = undefined;
  /** Whether anything arrived since the last look (keep-alive.ts), and for how many looks nothing has. */
  heard = true;
  silentTicks = 0;
  /** See OutputBatch. */
  dirty = false;
  private readonly socket: StreamSocket;
  private readonly output: OutputQueue;
  private readonly receiver: PduReceiver;
  private readonly loginTimer: NodeJS.Timeout;
  private statSn = 1;
  private headerDigest = false;
  private dataDigest = false;
  private transferTag = 0;
  private fullFeature = false;
  /** Whether the answer to a login waits for the end of an old session: no PDU is taken in until then. */
  private entering = false;
  /** What arrives meanwhile. */
  private unread: Uint8Array = NOTHING;
  /** Whether it only waits for its last bytes to go out. */
  private finishing = false;
  private finishReason = '';

  /** `fd` is a connected stream socket, this object's from now on. Throws when it cannot be waited for. */
  constructor(fd: number, portal: Portal) {
    this.portal = portal;
    this.login = new LoginPhase(portal);
    this.output = new OutputQueue(portal.node.slabs);
    this.receiver = new PduReceiver({ maxDataLength: 8192, headerDigest: false, dataDigest: false }, this);
    this.socket = new StreamSocket(fd, this);
    this.peerHost = this.socket.peerAddress?.host;
    this.source = sourceOf(this.peerHost);
    this.loginTimer = setTimeout(() => this.breach('login took too long'), portal.node.loginTimeout);
    this.loginTimer.unref();
  }

  get initiatorName(): string {
    return this.login.initiatorName;
  }

  /** What this connection may send: data segment lengths are negotiated per connection. */
  get sendParameters(): SessionParameters {
    return this.login.parameters;
  }

  /** Where the initiator got through to; undefined: no IP address, or none any more. */
  get localHost(): string | undefined {
    return this.socket.localAddress?.host;
  }

  nextTransferTag(): number {
    this.transferTag = (this.transferTag + 1) & 0x7fff_ffff;
    return this.transferTag;
  }

  readable(): void {
    const { batch } = this.portal.node;
    batch.begin();
    try {
      this.receive();
    } catch (error) {
      this.failed(error);
    }
    batch.run();
  }

  writable(): void {
    this.flush();
  }

  /**
   * Sends a PDU with data[at, at+length); fills in StatSN (`status`: the PDU carries a status, and so a StatSN of its
   * own), ExpCmdSN and MaxCmdSN. The data must stay as it is until `owner` hears of it; without one it is copied.
   */
  send(
    pdu: Buffer,
    status: boolean,
    data: Uint8Array = NOTHING,
    at = 0,
    length = data.length,
    owner?: SendOwner,
  ): void {
    const { output } = this;
    if (this.closeReason !== undefined || this.finishing) {
      owner?.sent();
      return;
    }
    pdu[Bhs.DATA_LENGTH] = length >>> 16;
    pdu[Bhs.DATA_LENGTH + 1] = length >>> 8;
    pdu[Bhs.DATA_LENGTH + 2] = length;
    if (status || pdu[Bhs.OPCODE] !== TargetOpcode.DATA_IN) pdu.writeInt32BE(this.statSn, Bhs.STAT_SN);
    if (status) this.statSn = (this.statSn + 1) | 0;
    if (this.session !== undefined) {
      pdu.writeInt32BE(this.session.window.expected, Bhs.EXP_CMD_SN);
      pdu.writeInt32BE(this.session.maxCmdSn(), Bhs.MAX_CMD_SN);
    }
    output.copy(pdu, 0, BHS_LENGTH);
    if (this.headerDigest) this.sendDigest(crc32c(pdu, 0, BHS_LENGTH));
    if (length > 0) this.sendData(data, at, length, owner);
    else owner?.sent();
    this.portal.node.batch.mark(this);
  }

  /** Asks whether the initiator is still there: a NOP-In that wants an answer (RFC 7143 11.19). */
  ping(): void {
    const pdu = header(TargetOpcode.NOP_IN, NO_TAG);
    pdu.writeInt32BE(this.nextTransferTag(), Bhs.TRANSFER_TAG);
    this.send(pdu, false);
  }

  /** Ends the connection; the session follows when this was its last one. */
  close(reason: string): void {
    if (this.closeReason !== undefined) return;
    this.closeReason = reason;
    clearTimeout(this.loginTimer);
    this.receiver.paused = true;
    this.unread = NOTHING;
    this.socket.close();
    this.output.abandon();
    this.releaseScratch();
    this.portal.node.connectionClosed(this, reason);
  }

  /** Ends a connection whose initiator does what it must not. */
  breach(reason: string): void {
    if (this.closeReason === undefined) {
      this.portal.node.breaches++;
      this.portal.node.complain(this, reason);
    }
    this.close(reason);
  }

  /** Lets what was sent go out, then closes. */
  finish(reason: string): void {
    if (this.closeReason !== undefined || this.finishing) return;
    this.finishing = true;
    this.finishReason = reason;
    this.receiver.paused = true;
    this.portal.node.batch.mark(this);
  }

  flush(): void {
    if (this.closeReason !== undefined) return;
    const result = this.output.flush(this.socket, this.portal.node.chunks);
    if (result < 0 && result !== Errno.EAGAIN)
      this.close(systemError(result, 'send to', 'the initiator').message);
    else if (this.finishing && this.output.length === 0) this.hangUp();
    else this.setInterest();
  }

  /** Where the data segment of an arriving PDU shall go: straight to its command, if that can be told. */
  place(pdu: Pdu): void {
    const { session } = this;
    if (session === undefined || !this.fullFeature) return;
    const opcode = pdu.header[Bhs.OPCODE] & OPCODE_MASK;
    if (opcode === InitiatorOpcode.SCSI_COMMAND) {
      pdu.scratch = session.environment.memory.allocate(pdu.dataLength, true);
      pdu.bytes = pdu.scratch.bytes;
    } else if (opcode === InitiatorOpcode.DATA_OUT) {
      const command = session.commands.get(pdu.header.readInt32BE(Bhs.TASK_TAG));
      const buffer = command?.connection === this ? command.placeOf(pdu) : undefined;
      if (buffer === undefined) return;
      pdu.bytes = buffer.bytes;
      pdu.dataAt = pdu.header.readUInt32BE(Bhs.BUFFER_OFFSET);
    }
  }

  /** The buffer is about to be somebody else's: data that still arrives for it goes nowhere. */
  detach(bytes: Uint8Array): void {
    this.receiver.detach(bytes);
  }

  deliver(pdu: Pdu): void {
    if (this.fullFeature) dispatch(this, pdu);
    else this.handleLogin(pdu);
    this.releaseScratch();
  }

  private receive(): void {
    const { receiver, socket } = this;
    const { chunks, inputs } = this.portal.node;
    const input = inputs.next();
    const { wanted } = receiver;
    chunks.count = 0;
    if (wanted > 0) chunks.add(receiver.target, receiver.targetAt, wanted);
    chunks.add(input, 0, input.length);
    const count = socket.receive(chunks);
    if (count === Errno.EAGAIN) return;
    if (count === 0) return this.close('the initiator closed the connection');
    if (count < 0) return this.close(systemError(count, 'receive from', 'the initiator').message);
    this.heard = true;
    const direct = Math.min(count, wanted);
    if (direct > 0) receiver.arrived(direct);
    this.take(input, count - direct);
  }

  private take(bytes: Uint8Array, length: number): void {
    const stopped = this.receiver.feed(bytes, 0, length);
    if (stopped === length || !this.entering) return;
    this.unread = Buffer.concat([this.unread, bytes.subarray(stopped, length)]);
    this.setInterest();
  }

  private sendData(data: Uint8Array, at: number, length: number, owner: SendOwner | undefined): void {
    const { output } = this;
    if (owner === undefined || length <= COPY_LIMIT) {
      output.copy(data, at, length);
      owner?.sent();
    } else output.reference(data, at, length, owner);
    const padding = -length & 3;
    if (padding > 0) output.copy(ZEROES, 0, padding);
    if (this.dataDigest) this.sendDigest(crc32c(ZEROES, 0, padding, crc32c(data, at, at + length)));
  }

  /** Digests travel least significant byte first (RFC 7143 13.1). */
  private sendDigest(crc: number): void {
    digest.writeInt32LE(crc | 0, 0);
    this.output.copy(digest, 0, DIGEST_LENGTH);
  }

  private setInterest(): void {
    const waiting = this.output.length;
    const highWater = this.portal.node.slabs.scarce ? HIGH_WATER_WHEN_SCARCE : HIGH_WATER;
    const full = this.finishing || waiting > highWater || this.unread.length > MAX_UNREAD;
    this.socket.await(!full, waiting > 0);
  }

  private hangUp(): void {
    const { chunks, inputs } = this.portal.node;
    const input = inputs.next();
    this.socket.finish();
    chunks.count = 0;
    chunks.add(input, 0, input.length);
    for (let i = 0; i < LAST_RECEIVES && this.socket.receive(chunks) > 0; i++);
    this.close(this.finishReason);
  }

  private releaseScratch(): void {
    const { pdu } = this.receiver;
    if (pdu.scratch === undefined) return;
    this.portal.node.environment.memory.release(pdu.scratch);
    pdu.scratch = undefined;
  }

  /** A breach of protocol, or a defect of ours: both end this connection, and nothing else. */
  private failed(error: unknown): void {
    const { log } = this.portal.node;
    if (error instanceof IscsiProtocolError) return this.breach(error.message);
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
    this.receiver.paused = true;
    this.portal.node
      .enter(this, request.readInt32BE(Bhs.CMD_SN))
      .then((entry) => {
        this.entering = false;
        if (entry.status === LoginStatus.SUCCESS) this.loggedIn();
        this.answerLogin(request, flags, text, entry.status, entry.tsih);
        if (entry.status === LoginStatus.SUCCESS) this.enterFullFeature();
      })
      .catch((error: unknown) => this.failed(error));
  }

  private answerLogin(request: Buffer, flags: number, text: Buffer, status: number, tsih: number): void {
    const success = status === LoginStatus.SUCCESS;
    const taskTag = request.readInt32BE(Bhs.TASK_TAG);
    const pdu = header(TargetOpcode.LOGIN_RESPONSE, taskTag, success ? flags : 0);
    request.copy(pdu, Bhs.ISID, Bhs.ISID, Bhs.ISID + 6);
    pdu.writeUInt16BE(tsih, Bhs.TSIH);
    pdu.writeUInt16BE(status, Bhs.LOGIN_STATUS);
    // Until there is a session, the window is the request's own number: login is immediate.
    pdu.writeUInt32BE(request.readUInt32BE(Bhs.CMD_SN), Bhs.EXP_CMD_SN);
    pdu.writeUInt32BE(request.readUInt32BE(Bhs.CMD_SN), Bhs.MAX_CMD_SN);
    this.send(pdu, success, success ? text : undefined);
    if (success) return;
    const reason = `login refused with status ${status.toString(16).padStart(4, '0')}h`;
    this.portal.node.complain(this, reason);
    this.finish(reason);
  }

  private loggedIn(): void {
    clearTimeout(this.loginTimer);
    // What is negotiated once for all connections of a session stays as the first one had it.
    if (this.session !== undefined) inheritSessionWide(this.login.parameters, this.session.parameters);
  }

  /** From the next PDU on, after the last login response. */
  private enterFullFeature(): void {
    if (this.closeReason !== undefined || this.finishing) return;
    const { parameters } = this.login;
    const { receiver, unread } = this;
    this.fullFeature = true;
    this.headerDigest = parameters.headerDigest;
    this.dataDigest = parameters.dataDigest;
    receiver.limits.headerDigest = parameters.headerDigest;
    receiver.limits.dataDigest = parameters.dataDigest;
    receiver.limits.maxDataLength = MAX_RECEIVE_DATA_SEGMENT;
    receiver.paused = false;
    this.unread = NOTHING;
    this.setInterest();
    this.take(unread, unread.length);
  }
}

function inheritSessionWide(own: SessionParameters, session: SessionParameters): void {
  const { headerDigest, dataDigest, maxSendDataSegmentLength } = own;
  Object.assign(own, session, { headerDigest, dataDigest, maxSendDataSegmentLength });
}
