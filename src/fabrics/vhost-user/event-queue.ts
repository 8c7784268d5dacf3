/**
 * The event queue (virtio 1.2, 5.6.6.3): tells the driver of attached, detached and changed logical units, in
 * buffers that it has put there. A buffer is taken only when there is something to say.
 */
import type { NexusListener } from '../../scsi/nexus.ts';
import { SegmentList } from '../../scsi/segment-list.ts';
import { Cut, cutWritable } from './buffers.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { Staging } from './guest-views.ts';
import { putLunField } from './lun-field.ts';
import type { ScsiDevice } from './scsi-device.ts';
import { TRANSLATION_MISS } from './translation-miss.ts';
import { EVENTS_MISSED, Event, EventType, ResetReason, ScsiFeature } from './virtio-scsi-spec.ts';
import type { Vring } from './vring.ts';
import type { VringHandler } from './vring-handler.ts';

/** ASC 2Ah, PARAMETERS CHANGED: capacity, mode, reservations, access state. */
const PARAMETERS_CHANGED = 0x2a;

export class EventQueue implements VringHandler, NexusListener {
  /** Events that found no buffer since the driver was last told so. */
  missed = false;
  private readonly device: ScsiDevice;
  private vring: Vring | undefined = undefined;
  private readonly staging = new Staging(Event.LENGTH);
  private readonly header = new SegmentList(2);
  private readonly rest = new SegmentList(2);

  constructor(device: ScsiDevice) {
    this.device = device;
  }

  /** Chains are taken by `available` only. */
  accept(vring: Vring, chain: { readonly head: number }): void {
    vring.push(chain.head, 0);
  }

  available(vring: Vring): boolean {
    this.vring = vring;
    if (this.missed) this.missed = !this.send(EventType.NO_EVENT, 0, 0, true);
    return this.missed;
  }

  unitAdded(lun: number): void {
    this.report(ScsiFeature.HOTPLUG, EventType.TRANSPORT_RESET, lun, ResetReason.RESCAN);
  }

  unitRemoved(lun: number): void {
    this.report(ScsiFeature.HOTPLUG, EventType.TRANSPORT_RESET, lun, ResetReason.REMOVED);
  }

  unitAttention(lun: number, code: number): void {
    const additionalSense = code >>> 8;
    if (additionalSense !== PARAMETERS_CHANGED) return;
    // 5.6.6.3: the additional sense code in the low byte, its qualifier in the next one.
    const reason = additionalSense | ((code & 0xff) << 8);
    this.report(ScsiFeature.CHANGE, EventType.PARAM_CHANGE, lun, reason);
  }

  private report(feature: number, event: number, lun: number, reason: number): void {
    // A driver that has not started yet looks at everything when it does.
    if (this.vring === undefined || !this.vring.started || !this.device.negotiated(feature)) return;
    if (this.send(event, lun, reason, this.missed)) {
      this.missed = false;
      return;
    }
    this.missed = true;
    // Nobody asked for kicks so far; a buffer that arrives now is to be heard of.
    this.vring.process();
  }

  private send(event: number, lun: number, reason: number, missed: boolean): boolean {
    const { vring, device, staging, header, rest } = this;
    const chain = vring?.take();
    if (vring === undefined || chain === undefined) return false;
    header.clear();
    rest.clear();
    const cut = this.cut(vring, chain);
    if (cut === undefined) return false;
    if (cut === Cut.NO_HEADER) {
      vring.push(chain.head, 0);
      return false;
    }
    const { bytes, words } = staging;
    words[Event.EVENT / 4] = missed ? event | EVENTS_MISSED : event;
    words[Event.REASON / 4] = reason;
    if (event === EventType.NO_EVENT) bytes.fill(0, Event.LUN, Event.REASON);
    else putLunField(bytes, Event.LUN, device.targetNumber, lun);
    device.views.copyIn(header, staging, Event.LENGTH);
    device.log?.markSegments(header, Event.LENGTH);
    vring.push(chain.head, Event.LENGTH);
    return true;
  }

  /** Undefined when the buffer has to wait for a translation; then it is as if it had not been taken. */
  private cut(vring: Vring, chain: DescriptorChain): Cut | undefined {
    try {
      return cutWritable(chain, Event.LENGTH, this.device.space, this.header, this.rest);
    } catch (error) {
      if (error !== TRANSLATION_MISS) throw error;
      vring.untake(chain.head);
      return undefined;
    }
  }
}
