/**
 * The virtio SCSI host device (virtio 1.2, 5.6): the settings that its queues share, and the nexus that its
 * requests come through. One per connection; the nexus outlives it.
 */
import type { Environment } from '../../scsi/environment.ts';
import { MAX_LUN } from '../../scsi/lun-map.ts';
import type { Nexus } from '../../scsi/nexus.ts';
import { AbortedBy, MAX_CDB_LENGTH, MAX_SENSE_LENGTH, type Task } from '../../scsi/task.ts';
import { abortBlocked, abortNexus, manage, TaskManagementFunction } from '../../scsi/task-management.ts';
import type { AddressSpace } from './address-space.ts';
import { writtenConfig } from './config-space.ts';
import { ControlQueue } from './control-queue.ts';
import type { DirtyLog } from './dirty-log.ts';
import { EventQueue } from './event-queue.ts';
import { featureSet, hasFeature } from './feature-set.ts';
import type { GuestViews } from './guest-views.ts';
import { ANY_TARGET, targetOf } from './lun-field.ts';
import type { ConfigAccess } from './message.ts';
import { ProtocolError } from './protocol-error.ts';
import { RequestQueue } from './request-queue.ts';
import { ScsiRequest } from './scsi-request.ts';
import type { DeviceHost, RequestCounters, VirtioDevice } from './virtio-device.ts';
import {
  DEFAULT_CDB_SIZE,
  DEFAULT_SENSE_SIZE,
  Event,
  PiRequestHeader,
  QueueIndex,
  RequestHeader,
  ScsiConfig,
  ScsiFeature,
  VirtioScsiResponse,
} from './virtio-scsi-spec.ts';
import type { Vring } from './vring.ts';
import type { VringHandler } from './vring-handler.ts';

/** Rings have 8-bit numbers in the messages that hand over their descriptors. */
const MAX_RINGS = 256;
/** Bytes; no CDB is shorter. */
const MIN_CDB_SIZE = 6;
/** Limits that QEMU shows to its guests, since it never asks for ours. */
const MAX_SEGMENTS = 126;
const MAX_SECTORS = 0xffff;
const COMMANDS_PER_LUN = 128;
const MAX_TARGET = 255;
/** 5.6.4: what the driver may write. */
const WRITABLE = { from: ScsiConfig.SENSE_SIZE, end: ScsiConfig.MAX_CHANNEL };

export interface ScsiDeviceOptions {
  readonly nexus: Nexus;
  readonly environment: Environment;
  /** The target number by which the driver addresses the nexus, 0 to 255. */
  readonly targetNumber: number;
}

export class ScsiDevice implements VirtioDevice {
  readonly features = featureSet(ScsiFeature.HOTPLUG, ScsiFeature.CHANGE, ScsiFeature.T10_PI);
  readonly maxRings = MAX_RINGS;
  readonly views: GuestViews;
  readonly environment: Environment;
  readonly targetNumber: number;
  readonly counters: RequestCounters = { requests: 0, refused: 0, unanswerable: 0 };
  /** Bytes; the driver sets both in the configuration space. */
  cdbSize = DEFAULT_CDB_SIZE;
  senseSize = DEFAULT_SENSE_SIZE;
  /** Where the CDB starts in a request, bytes. */
  cdbOffset: number = RequestHeader.CDB;
  /** Resets that the driver asked for and that still wait for tasks. */
  resetsUnderWay = 0;
  private readonly host: DeviceHost;
  private readonly nexus: Nexus;
  private readonly events: EventQueue;
  private acknowledged = 0n;

  constructor(host: DeviceHost, options: ScsiDeviceOptions) {
    this.host = host;
    this.views = host.views;
    this.environment = options.environment;
    this.nexus = options.nexus;
    this.targetNumber = options.targetNumber;
    this.events = new EventQueue(this);
    this.nexus.listener = this.events;
  }

  setFeatures(features: bigint): void {
    this.acknowledged = features;
    this.cdbOffset = this.negotiated(ScsiFeature.T10_PI) ? PiRequestHeader.CDB : RequestHeader.CDB;
  }

  negotiated(feature: number): boolean {
    return hasFeature(this.acknowledged, feature);
  }

  handler(index: number): VringHandler {
    switch (index) {
      case QueueIndex.CONTROL:
        return new ControlQueue(this);
      case QueueIndex.EVENT:
        return this.events;
      default:
        return new RequestQueue(this);
    }
  }

  get space(): AddressSpace {
    return this.host.space;
  }

  get log(): DirtyLog | undefined {
    return this.host.log;
  }

  /** The nexus for the target in the LUN field at `at`; undefined when there is no such target. */
  nexusAt(bytes: Uint8Array, at: number): Nexus | undefined {
    const target = targetOf(bytes, at);
    return target === this.targetNumber || target === ANY_TARGET ? this.nexus : undefined;
  }

  /** Takes every request that the driver has made available so far. */
  takeRequests(): void {
    this.host.processRings(QueueIndex.FIRST_REQUEST);
  }

  /** What an aborted task without status is answered (5.6.6.1). */
  abortResponse(task: Task): VirtioScsiResponse {
    const ownAbort = task.abortedBy === AbortedBy.OWN_NEXUS && this.resetsUnderWay === 0;
    return ownAbort ? VirtioScsiResponse.ABORTED : VirtioScsiResponse.RESET;
  }

  readConfig(): Uint8Array {
    const bytes = new Uint8Array(ScsiConfig.LENGTH);
    const view = new DataView(bytes.buffer);
    view.setUint32(ScsiConfig.NUM_QUEUES, MAX_RINGS - QueueIndex.FIRST_REQUEST, true);
    view.setUint32(ScsiConfig.SEG_MAX, MAX_SEGMENTS, true);
    view.setUint32(ScsiConfig.MAX_SECTORS, MAX_SECTORS, true);
    view.setUint32(ScsiConfig.CMD_PER_LUN, COMMANDS_PER_LUN, true);
    view.setUint32(ScsiConfig.EVENT_INFO_SIZE, Event.LENGTH, true);
    view.setUint32(ScsiConfig.SENSE_SIZE, this.senseSize, true);
    view.setUint32(ScsiConfig.CDB_SIZE, this.cdbSize, true);
    view.setUint16(ScsiConfig.MAX_CHANNEL, 0, true);
    view.setUint16(ScsiConfig.MAX_TARGET, MAX_TARGET, true);
    view.setUint32(ScsiConfig.MAX_LUN, MAX_LUN, true);
    return bytes;
  }

  /** 5.6.4.1: the driver may write `sense_size` and `cdb_size` only. */
  writeConfig(access: ConfigAccess): void {
    const view = new DataView(writtenConfig(this.readConfig(), access, WRITABLE).buffer);
    const senseSize = view.getUint32(ScsiConfig.SENSE_SIZE, true);
    const cdbSize = view.getUint32(ScsiConfig.CDB_SIZE, true);
    if (senseSize > MAX_SENSE_LENGTH) {
      throw new ProtocolError(`sense data of ${senseSize} bytes, at most ${MAX_SENSE_LENGTH}`);
    }
    if (cdbSize < MIN_CDB_SIZE || cdbSize > MAX_CDB_LENGTH) {
      throw new ProtocolError(`CDBs of ${cdbSize} bytes, expected ${MIN_CDB_SIZE} to ${MAX_CDB_LENGTH}`);
    }
    this.senseSize = senseSize;
    this.cdbSize = cdbSize;
  }

  reset(): Promise<void> {
    this.acknowledged = 0n;
    this.cdbSize = DEFAULT_CDB_SIZE;
    this.senseSize = DEFAULT_SENSE_SIZE;
    this.cdbOffset = RequestHeader.CDB;
    this.events.missed = false;
    const { nexus } = this;
    return new Promise((resolve) => {
      manage({ function: TaskManagementFunction.I_T_NEXUS_RESET, nexus, lun: 0, tagHigh: 0, tagLow: 0 }, () =>
        resolve(),
      );
    });
  }

  abort(): Promise<void> {
    return new Promise((resolve) => abortNexus(this.nexus, resolve));
  }

  abortBlocked(rings: readonly Vring[]): void {
    abortBlocked(this.nexus, (task) => task instanceof ScsiRequest && rings.includes(task.vring!));
  }

  /** I_T nexus loss (SAM-5 6.3.4): the nexus stays for the next connection, which hears of the loss. */
  async close(): Promise<void> {
    await this.reset();
    if (this.nexus.listener === this.events) this.nexus.listener = undefined;
  }
}
