/**
 * Wire constants of iSCSI (RFC 7143 section 11). Every PDU starts with a basic header segment of 48 bytes:
 *
 *   0   I(0x40) opcode      1  F(0x80) opcode-specific      2, 3  opcode-specific
 *   4   total AHS length (4-byte words)                     5..7  data segment length (bytes)
 *   8   LUN or ISID/TSIH                                    16    initiator task tag
 *   20..47 opcode-specific
 */

export const BHS_LENGTH = 48;
export const DIGEST_LENGTH = 4;
/** RESERVED tag: no task, or no transfer. */
export const NO_TAG = 0xffff_ffff;
/** The same, as `readInt32BE` has it: tags are signed on the path of a command, where V8 keeps them without an object. */
export const NO_TAG_SIGNED = -1;

export const InitiatorOpcode = {
  NOP_OUT: 0x00,
  SCSI_COMMAND: 0x01,
  TASK_MANAGEMENT: 0x02,
  LOGIN: 0x03,
  TEXT: 0x04,
  DATA_OUT: 0x05,
  LOGOUT: 0x06,
  SNACK: 0x10,
} as const;

export const TargetOpcode = {
  NOP_IN: 0x20,
  SCSI_RESPONSE: 0x21,
  TASK_MANAGEMENT_RESPONSE: 0x22,
  LOGIN_RESPONSE: 0x23,
  TEXT_RESPONSE: 0x24,
  DATA_IN: 0x25,
  LOGOUT_RESPONSE: 0x26,
  R2T: 0x31,
  ASYNC_MESSAGE: 0x32,
  REJECT: 0x3f,
} as const;

/** Offsets of fields that several PDUs share, bytes. */
export const Bhs = {
  OPCODE: 0,
  FLAGS: 1,
  AHS_LENGTH: 4,
  DATA_LENGTH: 5,
  LUN: 8,
  ISID: 8,
  TSIH: 14,
  TASK_TAG: 16,
  TRANSFER_TAG: 20,
  CMD_SN: 24,
  STAT_SN: 24,
  EXP_STAT_SN: 28,
  EXP_CMD_SN: 28,
  MAX_CMD_SN: 32,
  DATA_SN: 36,
  BUFFER_OFFSET: 40,
  RESIDUAL: 44,
  /** SCSI Command: bytes that the initiator expects to move. */
  EXPECTED_LENGTH: 20,
  CDB: 32,
  /** Task Management Request. */
  REFERENCED_TAG: 20,
  /** Login and Logout Request. */
  CID: 20,
  /** R2T. */
  DESIRED_LENGTH: 44,
  /** Task Management Request. */
  REFERENCED_CMD_SN: 32,
  /** SCSI Response: the number of Data-In and R2T PDUs that came before it. */
  EXP_DATA_SN: 36,
  /** Login Response: class and detail. */
  LOGIN_STATUS: 36,
  /** Asynchronous Message. */
  ASYNC_EVENT: 36,
  ASYNC_PARAMETER_3: 42,
} as const;

export const OPCODE_MASK = 0x3f;
export const IMMEDIATE = 0x40;
export const FINAL = 0x80;
/** Text and Login PDUs: more of the same text follows. */
export const CONTINUE = 0x40;

export const CommandFlag = { READ: 0x40, WRITE: 0x20, ATTRIBUTE: 0x07 } as const;
/** SCSI Command ATTR (11.3.1.2). */
export const CommandAttribute = { UNTAGGED: 0, SIMPLE: 1, ORDERED: 2, HEAD_OF_QUEUE: 3, ACA: 4 } as const;

/** SCSI Response and Data-In. */
export const ResidualFlag = { UNDERFLOW: 0x02, OVERFLOW: 0x04 } as const;
export const DataInFlag = { STATUS: 0x01 } as const;

export const AhsType = { EXTENDED_CDB: 1, BIDIRECTIONAL_LENGTH: 2 } as const;

/** Login stages (11.12.3). */
export const Stage = { SECURITY: 0, OPERATIONAL: 1, FULL_FEATURE: 3 } as const;
export const LoginFlag = { TRANSIT: 0x80, CONTINUE: 0x40 } as const;

/** Login Response status, class in the high byte (11.13.5). */
export const LoginStatus = {
  SUCCESS: 0x0000,
  INITIATOR_ERROR: 0x0200,
  AUTHENTICATION_FAILURE: 0x0201,
  AUTHORIZATION_FAILURE: 0x0202,
  NOT_FOUND: 0x0203,
  UNSUPPORTED_VERSION: 0x0205,
  TOO_MANY_CONNECTIONS: 0x0206,
  MISSING_PARAMETER: 0x0207,
  CANNOT_INCLUDE_IN_SESSION: 0x0208,
  SESSION_TYPE_NOT_SUPPORTED: 0x0209,
  SESSION_DOES_NOT_EXIST: 0x020a,
  INVALID_DURING_LOGIN: 0x020b,
  TARGET_ERROR: 0x0300,
  SERVICE_UNAVAILABLE: 0x0301,
  OUT_OF_RESOURCES: 0x0302,
} as const;

/** Reject reasons (11.17.1). */
export const RejectReason = {
  DATA_DIGEST_ERROR: 0x02,
  SNACK_REJECT: 0x03,
  PROTOCOL_ERROR: 0x04,
  COMMAND_NOT_SUPPORTED: 0x05,
  IMMEDIATE_COMMAND_REJECT: 0x06,
  TASK_IN_PROGRESS: 0x07,
  INVALID_PDU_FIELD: 0x09,
  LONG_OPERATION_REJECT: 0x0a,
} as const;

/** Task management functions and responses (11.5.1, 11.6.1). */
export const TaskFunction = {
  ABORT_TASK: 1,
  ABORT_TASK_SET: 2,
  CLEAR_ACA: 3,
  CLEAR_TASK_SET: 4,
  LOGICAL_UNIT_RESET: 5,
  TARGET_WARM_RESET: 6,
  TARGET_COLD_RESET: 7,
  TASK_REASSIGN: 8,
  QUERY_TASK: 9,
  QUERY_TASK_SET: 10,
  I_T_NEXUS_RESET: 11,
  QUERY_ASYNC_EVENT: 12,
} as const;
export const TaskResponse = {
  COMPLETE: 0,
  TASK_DOES_NOT_EXIST: 1,
  LUN_DOES_NOT_EXIST: 2,
  TASK_STILL_ALLEGIANT: 3,
  REASSIGNMENT_NOT_SUPPORTED: 4,
  FUNCTION_NOT_SUPPORTED: 5,
  AUTHORIZATION_FAILED: 6,
  FUNCTION_SUCCEEDED: 7,
  REJECTED: 255,
} as const;

/** Logout reasons and responses (11.14.1, 11.15.1). */
export const LogoutReason = { CLOSE_SESSION: 0, CLOSE_CONNECTION: 1, RECOVERY: 2 } as const;
export const LogoutResponse = {
  CLOSED: 0,
  CID_NOT_FOUND: 1,
  RECOVERY_NOT_SUPPORTED: 2,
  CLEANUP_FAILED: 3,
} as const;

/** Asynchronous events (11.9.1). */
export const AsyncEvent = { SCSI: 0, LOGOUT_REQUEST: 1 } as const;

/** Serial number arithmetic of 32 bits, signed or unsigned (RFC 1982): whether a < b. */
export function serialLess(a: number, b: number): boolean {
  return ((b - a) | 0) > 0;
}
