/** INQUIRY (SPC-4 6.6): standard data and vital product data pages. */
import { putAscii, putU16, u16 } from '../bytes.ts';
import type { CommandRow } from '../command.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { Task } from '../task.ts';
import type { VpdPage } from '../vpd/vpd-page.ts';
import { CONTROL } from './usage.ts';

const EVPD = 0x01;
const SUPPORTED_VPD_PAGES = 0x00;
const VPD_HEADER = 4;

const STANDARD_LENGTH = 96;
const RMB = 0x80;
const VERSION_SPC_4 = 0x06;
const NORMACA = 0x20;
const HISUP = 0x10;
const RESPONSE_DATA_FORMAT = 0x02;
const TPGS_IMPLICIT = 0x10;
const TPGS_EXPLICIT = 0x20;
const THREE_PC = 0x08;
const PROTECT = 0x01;
const MULTIP = 0x10;
const CMDQUE = 0x02;

/** Version descriptors, "no version claimed" (SPC-4 table 147). */
const SAM_5 = 0x00a0;
const SPC_4 = 0x0460;
const ISCSI = 0x0960;
const ISCSI_PROTOCOL = 5;

/** What differs between device types. */
export interface InquiryProfile {
  /** In ascending order; the Supported VPD Pages page is added. */
  readonly vpdPages: readonly VpdPage[];
  /** Version descriptor of the device type's command standard. */
  readonly version?: number;
  /** Whether the medium can be taken out. */
  readonly removable?: (unit: LogicalUnit) => boolean;
  /** Whether READ and WRITE know protection information. */
  readonly protection?: (unit: LogicalUnit) => boolean;
}

const THIRD_PARTY_COPY_OUT = 0x83;
const MAINTENANCE_IN = 0xa3;
const MAINTENANCE_OUT = 0xa4;
const TARGET_PORT_GROUPS = 0x0a;

function standardData(task: Task, profile: InquiryProfile): Uint8Array {
  const unit = task.logicalUnit;
  const { commands, identity } = unit;
  const data = new Uint8Array(STANDARD_LENGTH);
  data[0] = unit.deviceType;
  data[1] = profile.removable?.(unit) ? RMB : 0;
  data[2] = VERSION_SPC_4;
  data[3] = NORMACA | HISUP | RESPONSE_DATA_FORMAT;
  data[4] = STANDARD_LENGTH - 5;
  // These bits promise commands, so the command table answers for them.
  data[5] =
    (commands.supports(unit, MAINTENANCE_IN, TARGET_PORT_GROUPS) ? TPGS_IMPLICIT : 0) |
    (commands.supports(unit, MAINTENANCE_OUT, TARGET_PORT_GROUPS) ? TPGS_EXPLICIT : 0) |
    (commands.supports(unit, THIRD_PARTY_COPY_OUT) ? THREE_PC : 0) |
    (profile.protection?.(unit) ? PROTECT : 0);
  data[6] = unit.targetPorts.size > 1 ? MULTIP : 0;
  data[7] = CMDQUE;
  putAscii(data, 8, 8, identity.vendor);
  putAscii(data, 16, 16, identity.product);
  putAscii(data, 32, 4, identity.revision);
  const transport = task.nexus!.targetPort.protocol === ISCSI_PROTOCOL ? ISCSI : undefined;
  const versions = [SAM_5, transport, SPC_4, profile.version].filter((version) => version !== undefined);
  for (const [i, version] of versions.entries()) putU16(data, 58 + 2 * i, version);
  return data;
}

function vpdPage(task: Task, profile: InquiryProfile, code: number): Uint8Array | undefined {
  const unit = task.logicalUnit;
  const pages = profile.vpdPages.filter((page) => page.supported === undefined || page.supported(unit));
  const body =
    code === SUPPORTED_VPD_PAGES
      ? Uint8Array.of(SUPPORTED_VPD_PAGES, ...pages.map((page) => page.code))
      : pages.find((page) => page.code === code)?.body(task);
  if (body === undefined) return undefined;
  const data = new Uint8Array(VPD_HEADER + body.length);
  data[0] = unit.deviceType;
  data[1] = code;
  putU16(data, 2, body.length);
  data.set(body, VPD_HEADER);
  return data;
}

function inquiry(task: Task, profile: InquiryProfile): void {
  const { cdb } = task;
  const code = cdb[2];
  const vital = (cdb[1] & EVPD) !== 0;
  if (!vital && code !== 0) return task.failCdbField(2);
  const data = vital ? vpdPage(task, profile, code) : standardData(task, profile);
  if (data === undefined) return task.failCdbField(2);
  task.respond(data, u16(cdb, 3));
}

export function inquiryCommands(profile: InquiryProfile): readonly CommandRow[] {
  return [
    {
      name: 'INQUIRY',
      opcode: 0x12,
      cdbLength: 6,
      usage: [0x12, EVPD, 0xff, 0xff, 0xff, CONTROL],
      direction: 'in',
      reservation: 'allowed',
      alua: 'any',
      unitAttention: 'keep',
      headOfQueue: true,
      needsReady: false,
      writes: false,
      timeout: 10,
      standard: 'SPC-4 6.6',
      handler: (task) => inquiry(task, profile),
    },
  ];
}
