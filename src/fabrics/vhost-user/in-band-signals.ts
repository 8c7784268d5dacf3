/**
 * Signals to the driver as messages on the back-end channel (protocol feature INBAND_NOTIFICATIONS), for front-ends that
 * have no eventfds. A ring has one on its way at most: a front-end that is slow to answer gets fewer, not a longer queue.
 */
import { vringStatePayload } from './message.ts';
import { BackendRequest } from './vhost-user-spec.ts';

/** Sends a request that is to be answered; false when there is no channel. */
export type SendSignal = (request: number, payload: Uint8Array) => boolean;

export class InBandSignals {
  private readonly send: SendSignal;
  /** Rings whose signals have not been answered yet, oldest first. */
  private readonly unanswered: number[] = [];
  /** Of these, the ones with news since. */
  private readonly again = new Set<number>();

  constructor(send: SendSignal) {
    this.send = send;
  }

  /** Buffers of ring `index` were used. */
  call(index: number): void {
    if (this.unanswered.includes(index)) this.again.add(index);
    else if (this.send(BackendRequest.VRING_CALL, vringStatePayload(index, 0))) this.unanswered.push(index);
  }

  /** Ring `index` is broken. */
  error(index: number): void {
    this.send(BackendRequest.VRING_ERR, vringStatePayload(index, 0));
  }

  /** There is a new channel: what was sent on the one before may not have been heard, and is not answered any more. */
  restart(): void {
    this.again.clear();
    for (const index of this.unanswered.splice(0)) this.call(index);
  }

  /** The front-end has answered the oldest call. */
  callAnswered(): void {
    const index = this.unanswered.shift();
    if (index !== undefined && this.again.delete(index)) this.call(index);
  }
}
