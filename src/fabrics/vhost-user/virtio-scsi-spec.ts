/** The SCSI host device (virtio 1.2, 5.6). Offsets and lengths in bytes; all fields little-endian. */

/** 5.6.2 "Virtqueues": the request queues follow. */
export const QueueIndex = { CONTROL: 0, EVENT: 1, FIRST_REQUEST: 2 } as const;

/** 5.6.3 "Feature bits". Bit numbers. */
export const ScsiFeature = {
  /** A request may have both data-out and data-in. */
  INOUT: 0,
  /** The event queue tells of attached and detached logical units. */
  HOTPLUG: 1,
  /** The event queue tells of changed parameters. */
  CHANGE: 2,
  /** Protection information travels in requests. */
  T10_PI: 3,
} as const;

/** 5.6.4 "Device configuration layout". */
export const ScsiConfig = {
  NUM_QUEUES: 0,
  SEG_MAX: 4,
  /** In units of 512 bytes. */
  MAX_SECTORS: 8,
  CMD_PER_LUN: 12,
  EVENT_INFO_SIZE: 16,
  SENSE_SIZE: 20,
  CDB_SIZE: 24,
  /** u16. */
  MAX_CHANNEL: 28,
  /** u16. */
  MAX_TARGET: 30,
  MAX_LUN: 32,
  LENGTH: 36,
} as const;

export const DEFAULT_CDB_SIZE = 32;
export const DEFAULT_SENSE_SIZE = 96;

/** 5.6.6.1: the device-readable header of a request; the CDB of `cdb_size` bytes follows, then data-out. */
export const RequestHeader = {
  LUN: 0,
  /** u64. */
  ID: 8,
  /** u8. */
  TASK_ATTRIBUTE: 16,
  /** u8. */
  PRIORITY: 17,
  /** u8. */
  CRN: 18,
  CDB: 19,
} as const;

/**
 * 5.6.6.1: with T10_PI, two u32 say how many bytes of protection information go out and come in. The standard's text has
 * them behind the CDB; Linux, QEMU and the kernel's vhost-scsi, which were there before, between CRN and CDB.
 */
export const PiRequestHeader = { PI_OUT: 19, PI_IN: 23, CDB: 27 } as const;

/** 5.6.6.1: the device-writable header of a request; `sense_size` bytes of sense follow, then data-in. */
export const ResponseHeader = {
  /** u32, bytes. */
  SENSE_LENGTH: 0,
  /** u32, bytes. */
  RESIDUAL: 4,
  /** u16. */
  STATUS_QUALIFIER: 8,
  /** u8, SAM status. */
  STATUS: 10,
  /** u8, one of VirtioScsiResponse. */
  RESPONSE: 11,
  SENSE: 12,
} as const;

/** 5.6.6.1: values of `task_attr`. */
export const VirtioTaskAttribute = { SIMPLE: 0, ORDERED: 1, HEAD: 2, ACA: 3 } as const;

/** 5.6.6.1 and 5.6.6.2: values of `response`. */
export const VirtioScsiResponse = {
  OK: 0,
  OVERRUN: 1,
  ABORTED: 2,
  BAD_TARGET: 3,
  RESET: 4,
  BUSY: 5,
  TRANSPORT_FAILURE: 6,
  TARGET_FAILURE: 7,
  NEXUS_FAILURE: 8,
  FAILURE: 9,
  FUNCTION_SUCCEEDED: 10,
  FUNCTION_REJECTED: 11,
  INCORRECT_LUN: 12,
} as const;
export type VirtioScsiResponse = (typeof VirtioScsiResponse)[keyof typeof VirtioScsiResponse];

/** 5.6.6.2 "Device Operation: controlq": the type of a control request, u32. */
export const ControlType = { TASK_MANAGEMENT: 0, AN_QUERY: 1, AN_SUBSCRIBE: 2 } as const;
export const CONTROL_TYPE_BYTES = 4;

/** A task management request: u32 type, u32 subtype, u8 lun[8], u64 id | u8 response. */
export const TaskManagementRequest = { TYPE: 0, SUBTYPE: 4, LUN: 8, ID: 16, LENGTH: 24 } as const;
export const TASK_MANAGEMENT_RESPONSE_BYTES = 1;

/** 5.6.6.2: subtypes of a task management request. */
export const TaskManagementSubtype = {
  ABORT_TASK: 0,
  ABORT_TASK_SET: 1,
  CLEAR_ACA: 2,
  CLEAR_TASK_SET: 3,
  I_T_NEXUS_RESET: 4,
  LOGICAL_UNIT_RESET: 5,
  QUERY_TASK: 6,
  QUERY_TASK_SET: 7,
} as const;

/** An asynchronous notification request: u32 type, u8 lun[8], u32 events | u32 event_actual, u8 response. */
export const NotificationRequest = { TYPE: 0, LUN: 4, EVENTS: 12, LENGTH: 16 } as const;
export const NotificationResponse = { EVENT_ACTUAL: 0, RESPONSE: 4, LENGTH: 5 } as const;

/** 5.6.6.3 "Device Operation: eventq": u32 event, u8 lun[8], u32 reason. */
export const Event = { EVENT: 0, LUN: 4, REASON: 12, LENGTH: 16 } as const;

export const EventType = { NO_EVENT: 0, TRANSPORT_RESET: 1, ASYNC_NOTIFY: 2, PARAM_CHANGE: 3 } as const;
/** Set in `event`: events were lost for want of buffers. */
export const EVENTS_MISSED = 0x8000_0000;

/** Reasons of TRANSPORT_RESET. */
export const ResetReason = { HARD: 0, RESCAN: 1, REMOVED: 2 } as const;

/**
 * 5.6.6.1: the LUN field. Byte 0 is 1, byte 1 the target, bytes 2 and 3 a single level LUN (SAM-5 4.7.7),
 * the rest zero. C1h 01h in bytes 0 and 1 is the REPORT LUNS well-known logical unit.
 */
export const LunField = { FORMAT: 0, TARGET: 1, LUN: 2, LENGTH: 8 } as const;
export const LUN_FORMAT_SINGLE_LEVEL = 1;
