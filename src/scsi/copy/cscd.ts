/**
 * Copy sources and copy destinations (SPC-4 5.17.2). A CSCD is looked up in the LUN map of the I_T nexus that asks
 * and nowhere else: EXTENDED COPY must not open a way to a unit that the initiator cannot see (CVE-2020-28374,
 * CVE-2021-3139), nor one to write where it may only read.
 */
import { AccessState } from '../alua-spec.ts';
import type { BlockDevice } from '../block-device.ts';
import { u24 } from '../bytes.ts';
import type { ItlNexus, Nexus } from '../nexus.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { Association, CodeSet, DesignatorType } from '../vpd/designation-descriptor.ts';
import { CscdDescriptor } from './copy-spec.ts';

const DEVICE_TYPE = 0x1f;
const BLOCK_DEVICE = 0x00;
/** Code set, association and designator type in their bytes. */
const CODE_SET = 0x0f;
const ASSOCIATION_AND_TYPE = 0x3f;

/** A CSCD as its descriptor names it. */
export interface CscdName {
  readonly deviceType: number;
  /** NAA designator of the logical unit; undefined for every other kind, which nothing here answers to. */
  readonly naa: Uint8Array | undefined;
  /** DISK BLOCK LENGTH, bytes; 0 when not given. */
  readonly blockLength: number;
}

/** A CSCD that the initiator can reach. */
export interface Cscd {
  readonly device: BlockDevice;
  readonly itl: ItlNexus;
}

export function parseCscd(list: Uint8Array, at: number): CscdName {
  const length = list[at + CscdDescriptor.DESIGNATOR_LENGTH];
  const isNaa =
    (list[at + CscdDescriptor.CODE_SET] & CODE_SET) === CodeSet.BINARY &&
    (list[at + CscdDescriptor.ASSOCIATION_AND_TYPE] & ASSOCIATION_AND_TYPE) ===
      ((Association.LOGICAL_UNIT << 4) | DesignatorType.NAA);
  const start = at + CscdDescriptor.DESIGNATOR;
  return {
    deviceType: list[at + CscdDescriptor.DEVICE_TYPE] & DEVICE_TYPE,
    naa: isNaa ? list.slice(start, start + length) : undefined,
    blockLength: u24(list, at + CscdDescriptor.DISK_BLOCK_LENGTH),
  };
}

/** The unit that `name` means to this nexus, or why there is none. */
export function findCscd(nexus: Nexus, name: CscdName): Cscd | SenseCode {
  if (name.deviceType !== BLOCK_DEVICE) return Sense.INCORRECT_COPY_TARGET_DEVICE_TYPE;
  for (const itl of nexus.itlNexuses()) {
    const unit = itl.logicalUnit;
    if (unit.deviceType !== BLOCK_DEVICE || !equal(unit.identity.naa, name.naa)) continue;
    const device = unit as BlockDevice;
    if (name.blockLength !== 0 && name.blockLength !== device.blockSize) {
      return Sense.INCORRECT_COPY_TARGET_DEVICE_TYPE;
    }
    return { device, itl };
  }
  return Sense.COPY_TARGET_DEVICE_NOT_REACHABLE;
}

function equal(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** What a READ or WRITE of this nexus to the unit would be refused for, seen from the copy manager. */
export function refusalOf({ device, itl }: Cscd, access: 'read' | 'write'): SenseCode | undefined {
  const { nexus } = itl;
  const conflict = device.reservations.held && !device.reservations.permits(nexus, access);
  const isProtected = access === 'write' && (device.writeProtected || itl.writeProtected);
  if (conflict || isProtected || device.reservations.persistent.lost) return Sense.THIRD_PARTY_DEVICE_FAILURE;
  return isReady(device, nexus) ? undefined : Sense.COPY_TARGET_DEVICE_NOT_REACHABLE;
}

function isReady(device: BlockDevice, nexus: Nexus): boolean {
  const { relativeId } = nexus.targetPort;
  const state = device.alua.groupOf(relativeId).stateOf(relativeId);
  return device.notReady === undefined && ACCESSIBLE.has(state);
}

const ACCESSIBLE: ReadonlySet<AccessState> = new Set([
  AccessState.ACTIVE_OPTIMIZED,
  AccessState.ACTIVE_NON_OPTIMIZED,
  AccessState.LOGICAL_BLOCK_DEPENDENT,
]);
