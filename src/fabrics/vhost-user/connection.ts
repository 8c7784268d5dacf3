/**
 * One front-end's connection: takes its messages one after the other, answers them, and ends with a reason when
 * the front-end leaves, breaks the protocol, or takes its memory away. Nobody else notices.
 */

import { LunportError } from '../../native/errno.ts';
import { BackEnd, type BackEndOptions } from './back-end.ts';
import { featureSet, hasFeature } from './feature-set.ts';
import { InBandSignals } from './in-band-signals.ts';
import type { Logger } from './logger.ts';
import { type Header, iotlbPayload, parseU64, serialise, u64Payload } from './message.ts';
import { closeAll, MessageSocket, type MessageSocketOwner } from './message-socket.ts';
import { ProtocolError } from './protocol-error.ts';
import { allowed, type Reply, requestHandlers } from './requests.ts';
import { BackendRequest, IotlbType, MessageFlags, ProtocolFeature, U64_LENGTH } from './vhost-user-spec.ts';

const PROTOCOL_FEATURES = featureSet(
  ProtocolFeature.MQ,
  ProtocolFeature.LOG_SHMFD,
  ProtocolFeature.REPLY_ACK,
  ProtocolFeature.BACKEND_REQ,
  ProtocolFeature.INFLIGHT_SHMFD,
  ProtocolFeature.RESET_DEVICE,
  ProtocolFeature.CONFIGURE_MEM_SLOTS,
  ProtocolFeature.INBAND_NOTIFICATIONS,
  ProtocolFeature.GPA_ADDRESSES,
);
/** What signals by message need: a channel, and answers that say when the next one may follow. */
const IN_BAND = featureSet(
  ProtocolFeature.INBAND_NOTIFICATIONS,
  ProtocolFeature.BACKEND_REQ,
  ProtocolFeature.REPLY_ACK,
);

/** The answers of REPLY_ACK. */
const SUCCESS = 0n;
const FAILURE = 1n;

export interface ConnectionOptions extends BackEndOptions {
  readonly logger: Logger;
  /** Offers the configuration space (CONFIG): QEMU has one of its own and warns of ours. Default false. */
  readonly offerConfig?: boolean;
}

export class Connection implements MessageSocketOwner {
  readonly backEnd: BackEnd;
  protocolFeatures = 0n;
  readonly offeredProtocolFeatures: bigint;
  /** Resolves with the reason when everything has been let go. */
  readonly closed: Promise<string>;
  private readonly logger: Logger;
  private readonly socket: MessageSocket;
  private backendChannel: MessageSocket | undefined = undefined;
  private readonly signals = new InBandSignals((request, payload) => this.signal(request, payload));
  /** Whether the front-end's breaking the protocol is why it ends. */
  breached = false;
  private ending = false;
  /** The message that is being worked on, if that takes time. */
  private current: Promise<void> = Promise.resolve();
  private resolveClosed!: (reason: string) => void;

  /** Takes over `fd`. */
  constructor(fd: number, options: ConnectionOptions) {
    this.logger = options.logger;
    this.offeredProtocolFeatures =
      PROTOCOL_FEATURES | (options.offerConfig ? featureSet(ProtocolFeature.CONFIG) : 0n);
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    this.backEnd = new BackEnd(options, {
      deviceBroken: (reason) => this.logger.warn(`the device stops until it is reset: ${reason}`),
      connectionLost: (reason) => this.end(reason),
      failed: (where, error) => {
        this.logger.error(`a defect of lunport's own ends the connection, at ${where}: ${describe(error)}`);
        this.end(`a defect of lunport's own at ${where}`);
      },
      askForTranslation: (iova, permission) => this.askForTranslation(iova, permission),
      answersQuestions: () => this.answersQuestions,
      configChanged: () => this.announceConfig(),
      callInBand: (index) => this.inBand && this.signals.call(index),
      errorInBand: (index) => this.inBand && this.signals.error(index),
    });
    try {
      this.socket = new MessageSocket(fd, this);
    } catch (error) {
      void this.backEnd.close(false);
      throw error;
    }
  }

  setProtocolFeatures(features: bigint): void {
    const unknown = features & ~this.offeredProtocolFeatures;
    if (unknown !== 0n) {
      throw new ProtocolError(`protocol features 0x${unknown.toString(16)}, which were not offered`);
    }
    if (hasFeature(features, ProtocolFeature.INBAND_NOTIFICATIONS) && (features & IN_BAND) !== IN_BAND) {
      throw new ProtocolError('in-band notifications without a back-end channel and REPLY_ACK');
    }
    this.protocolFeatures = features;
    this.backEnd.table.byGuestAddress = hasFeature(features, ProtocolFeature.GPA_ADDRESSES);
  }

  /** Takes over `fd`: the channel for requests of ours. */
  openBackendChannel(fd: number): void {
    this.backendChannel?.close();
    this.backendChannel = new MessageSocket(fd, {
      messageReceived: (header, payload, fds) => {
        closeAll(fds);
        this.answerReceived(header, payload);
      },
      socketClosed: () => {
        this.backendChannel = undefined;
      },
    });
    this.signals.restart();
    this.backEnd.channelOpened();
  }

  /** Only misses and calls ask for answers. */
  private answerReceived({ request }: Header, payload: Uint8Array): void {
    if (payload.length !== U64_LENGTH) return;
    if (request === BackendRequest.VRING_CALL) this.signals.callAnswered();
    if (request === BackendRequest.IOTLB_MSG) this.backEnd.translationAnswered(parseU64(payload) === SUCCESS);
  }

  private askForTranslation(iova: number, permission: number): boolean {
    if (this.backendChannel === undefined) return false;
    const miss = { iova, size: 0, userAddress: 0, permission, type: IotlbType.MISS };
    const flags = this.answersQuestions ? MessageFlags.NEED_REPLY : 0;
    this.backendChannel.send(serialise(BackendRequest.IOTLB_MSG, flags, iotlbPayload(miss)));
    return true;
  }

  /** An answer is not waited for: nothing depends on when the front-end looks. */
  private announceConfig(): void {
    if (!hasFeature(this.protocolFeatures, ProtocolFeature.CONFIG)) return;
    this.backendChannel?.send(serialise(BackendRequest.CONFIG_CHANGE_MSG, 0, new Uint8Array(0)));
  }

  private get inBand(): boolean {
    return hasFeature(this.protocolFeatures, ProtocolFeature.INBAND_NOTIFICATIONS);
  }

  private signal(request: number, payload: Uint8Array): boolean {
    this.backendChannel?.send(serialise(request, MessageFlags.NEED_REPLY, payload));
    return this.backendChannel !== undefined;
  }

  private get answersQuestions(): boolean {
    return hasFeature(this.protocolFeatures, ProtocolFeature.REPLY_ACK);
  }

  messageReceived(header: Header, payload: Uint8Array, fds: number[]): void {
    this.socket.hold();
    if (this.ending) {
      // It could start again what is being stopped. No further one is read.
      closeAll(fds);
      return;
    }
    this.current = this.handle(header, payload, fds)
      .catch((error: unknown) => this.failed(error, header))
      .then(() => {
        closeAll(fds);
        this.socket.release();
      });
  }

  socketClosed(cause: Error | undefined): void {
    this.breached ||= cause instanceof ProtocolError;
    this.end(cause === undefined ? 'the front-end disconnected' : cause.message);
  }

  /** Ends the connection; `finish` answers the tasks that run before. */
  end(reason: string, finish = false): void {
    if (this.ending) return;
    this.ending = true;
    void this.close(reason, finish);
  }

  private async close(reason: string, finish: boolean): Promise<void> {
    try {
      await this.current;
      await this.backEnd.close(finish);
    } catch (error) {
      this.logger.warn(`the connection ended badly: ${describe(error)}`);
    }
    this.socket.close();
    this.backendChannel?.close();
    this.resolveClosed(reason);
  }

  private async handle({ request, flags }: Header, payload: Uint8Array, fds: number[]): Promise<void> {
    const handler = requestHandlers.get(request);
    if (handler === undefined) throw new ProtocolError(`request ${request} is unknown`);
    if (!allowed(request, this.protocolFeatures)) {
      throw new ProtocolError(`request ${request} needs a protocol feature that is not negotiated`);
    }
    const reply = await handler(this, payload, fds);
    if (reply !== undefined) this.send(request, reply);
    else if (this.wantsReply(flags)) this.send(request, { payload: u64Payload(SUCCESS) });
  }

  private failed(error: unknown, { request, flags }: Header): void {
    if (this.wantsReply(flags)) this.send(request, { payload: u64Payload(FAILURE) });
    this.breached ||= error instanceof ProtocolError;
    this.end(`request ${request}: ${describe(error)}`);
  }

  private wantsReply(flags: number): boolean {
    return (flags & MessageFlags.NEED_REPLY) !== 0 && this.answersQuestions;
  }

  private send(request: number, { payload, fds = [] }: Reply): void {
    this.socket.send(serialise(request, MessageFlags.REPLY, payload), fds);
  }
}

/** A ProtocolError says enough; anything else may be a defect of ours, and then its place matters. */
function describe(error: unknown): string {
  if (error instanceof ProtocolError || error instanceof LunportError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
