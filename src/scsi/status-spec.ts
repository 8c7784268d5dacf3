/** Status codes (SAM-5 5.3.1), task attributes (SAM-5 8.6) and service responses. */

export const Status = {
  GOOD: 0x00,
  CHECK_CONDITION: 0x02,
  CONDITION_MET: 0x04,
  BUSY: 0x08,
  RESERVATION_CONFLICT: 0x18,
  TASK_SET_FULL: 0x28,
  ACA_ACTIVE: 0x30,
  TASK_ABORTED: 0x40,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

export const TaskAttribute = { SIMPLE: 0, ORDERED: 1, HEAD_OF_QUEUE: 2, ACA: 3 } as const;
export type TaskAttribute = (typeof TaskAttribute)[keyof typeof TaskAttribute];

/** Service responses of task management functions (SAM-5 7.1). */
export const ServiceResponse = {
  FUNCTION_COMPLETE: 0,
  FUNCTION_SUCCEEDED: 1,
  FUNCTION_REJECTED: 2,
  INCORRECT_LOGICAL_UNIT_NUMBER: 3,
  SERVICE_DELIVERY_OR_TARGET_FAILURE: 4,
} as const;
export type ServiceResponse = (typeof ServiceResponse)[keyof typeof ServiceResponse];
