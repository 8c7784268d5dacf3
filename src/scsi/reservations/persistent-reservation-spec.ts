/** Codes and layouts of PERSISTENT RESERVE IN and OUT (SPC-4 6.15, 6.16). Offsets and lengths in bytes. */

/** PERSISTENT RESERVE OUT service actions (SPC-4 6.16.2). */
export const OutAction = {
  REGISTER: 0x00,
  RESERVE: 0x01,
  RELEASE: 0x02,
  CLEAR: 0x03,
  PREEMPT: 0x04,
  PREEMPT_AND_ABORT: 0x05,
  REGISTER_AND_IGNORE_EXISTING_KEY: 0x06,
  REGISTER_AND_MOVE: 0x07,
  REPLACE_LOST_RESERVATION: 0x08,
} as const;
export type OutAction = (typeof OutAction)[keyof typeof OutAction];

/** PERSISTENT RESERVE IN service actions (SPC-4 6.15.1). */
export const InAction = {
  READ_KEYS: 0x00,
  READ_RESERVATION: 0x01,
  REPORT_CAPABILITIES: 0x02,
  READ_FULL_STATUS: 0x03,
} as const;

/** TYPE (SPC-4 6.15.3.4). */
export const ReservationType = {
  WRITE_EXCLUSIVE: 0x1,
  EXCLUSIVE_ACCESS: 0x3,
  WRITE_EXCLUSIVE_REGISTRANTS_ONLY: 0x5,
  EXCLUSIVE_ACCESS_REGISTRANTS_ONLY: 0x6,
  WRITE_EXCLUSIVE_ALL_REGISTRANTS: 0x7,
  EXCLUSIVE_ACCESS_ALL_REGISTRANTS: 0x8,
} as const;
export type ReservationType = (typeof ReservationType)[keyof typeof ReservationType];

const TYPES: ReadonlySet<number> = new Set(Object.values(ReservationType));

export function isReservationType(type: number): type is ReservationType {
  return TYPES.has(type);
}

/** Whether every registered I_T nexus holds a reservation of this type. */
export function isAllRegistrants(type: ReservationType): boolean {
  return type >= ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS;
}

/** Whether the type lets every registered I_T nexus in: registrants only and all registrants. */
export function admitsRegistrants(type: ReservationType): boolean {
  return type >= ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY;
}

/** Whether the type keeps readers out as well. */
export function excludesReaders(type: ReservationType): boolean {
  return (
    type === ReservationType.EXCLUSIVE_ACCESS ||
    type === ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY ||
    type === ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS
  );
}

/** SCOPE: the whole logical unit is the only one that is not obsolete. */
export const LU_SCOPE = 0x0;

/** Basic parameter list of PERSISTENT RESERVE OUT (SPC-4 6.16.3). */
export const BasicList = {
  LENGTH: 24,
  RESERVATION_KEY: 0,
  SERVICE_ACTION_RESERVATION_KEY: 8,
  FLAGS: 20,
  /** With SPEC_I_PT: TRANSPORTID PARAMETER DATA LENGTH, then the TransportIDs. */
  TRANSPORT_ID_LENGTH: 24,
  TRANSPORT_IDS: 28,
} as const;

/** Bits of byte 20 of the basic parameter list. */
export const BasicFlag = { SPEC_I_PT: 0x08, ALL_TG_PT: 0x04, APTPL: 0x01, RESERVED: 0xf2 } as const;

/** Parameter list of REGISTER AND MOVE (SPC-4 6.16.4). */
export const MoveList = {
  FLAGS: 17,
  RELATIVE_TARGET_PORT: 18,
  TRANSPORT_ID_LENGTH: 20,
  TRANSPORT_ID: 24,
} as const;

/** Bits of byte 17 of the REGISTER AND MOVE parameter list. */
export const MoveFlag = { UNREG: 0x02, APTPL: 0x01, RESERVED: 0xfc } as const;

/** REPORT CAPABILITIES parameter data (SPC-4 6.15.4): byte 2, byte 3, and the type mask in bytes 4 and 5. */
export const Capability = {
  LENGTH: 8,
  /** Replace lost reservation capable. */
  RLR_C: 0x80,
  /** Compatible reservation handling: RESERVE and RELEASE beside persistent reservations. */
  CRH: 0x10,
  SIP_C: 0x08,
  ATP_C: 0x04,
  PTPL_C: 0x01,
  /** Type mask valid. */
  TMV: 0x80,
  /**
   * ALLOW COMMANDS 100b: TEST UNIT READY and RECEIVE COPY RESULTS pass every type; MODE SENSE, READ BUFFER, READ
   * DEFECT DATA, RECEIVE DIAGNOSTIC RESULTS and REPORT SUPPORTED OPERATION CODES pass the write exclusive ones.
   */
  ALLOW_COMMANDS: 0x40,
  PTPL_A: 0x01,
  /** WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX; then EX_AC_AR in the second byte. */
  TYPE_MASK: 0xea01,
} as const;

/** Full status descriptor (SPC-4 6.15.5). */
export const FullStatus = {
  /** Without the TransportID. */
  LENGTH: 24,
  R_HOLDER_BYTE: 12,
  R_HOLDER: 0x01,
  SCOPE_AND_TYPE: 13,
  RELATIVE_TARGET_PORT: 18,
  TRANSPORT_ID_LENGTH: 20,
  TRANSPORT_ID: 24,
} as const;

/** Bytes of a reservation key. */
export const KEY_LENGTH = 8;
/** PRGENERATION and ADDITIONAL LENGTH, at the start of most PERSISTENT RESERVE IN data. */
export const IN_HEADER_LENGTH = 8;
