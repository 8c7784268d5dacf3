/** Asymmetric logical unit access: values and layouts of SPC-4 5.15, 6.37 and 6.45. */

/** ASYMMETRIC ACCESS STATE (SPC-4 table 250). */
export const AccessState = {
  ACTIVE_OPTIMIZED: 0x0,
  ACTIVE_NON_OPTIMIZED: 0x1,
  STANDBY: 0x2,
  UNAVAILABLE: 0x3,
  LOGICAL_BLOCK_DEPENDENT: 0x4,
  OFFLINE: 0xe,
  TRANSITIONING: 0xf,
} as const;
export type AccessState = (typeof AccessState)[keyof typeof AccessState];

/** STATUS CODE: why a target port group is in its state (SPC-4 table 252). */
export const AccessStatus = { NONE: 0, SET_EXPLICITLY: 1, CHANGED_IMPLICITLY: 2 } as const;
export type AccessStatus = (typeof AccessStatus)[keyof typeof AccessStatus];

/** Byte 1 of a target port group descriptor: which states the group can enter (T_SUP to AO_SUP). */
export const SUPPORT_BIT: Readonly<Record<AccessState, number>> = {
  [AccessState.ACTIVE_OPTIMIZED]: 0x01,
  [AccessState.ACTIVE_NON_OPTIMIZED]: 0x02,
  [AccessState.STANDBY]: 0x04,
  [AccessState.UNAVAILABLE]: 0x08,
  [AccessState.LOGICAL_BLOCK_DEPENDENT]: 0x10,
  [AccessState.OFFLINE]: 0x40,
  [AccessState.TRANSITIONING]: 0x80,
};

/**
 * Target port group descriptor (SPC-4 table 249):
 * byte 0 PREF and state, 1 supported states, 2..3 group, 5 status code, 7 port count, then 4 bytes per port:
 * 2..3 relative target port identifier.
 */
export const GROUP_DESCRIPTOR_LENGTH = 8;
export const PORT_DESCRIPTOR_LENGTH = 4;
export const PREF = 0x80;

/** REPORT TARGET PORT GROUPS, PARAMETER DATA FORMAT: bits 7 to 5 of CDB byte 1. */
export const ParameterDataFormat = { LENGTH_ONLY: 0, EXTENDED: 1 } as const;

/** SET TARGET PORT GROUPS parameter list: 4 reserved bytes, then 4 bytes per descriptor. */
export const SET_HEADER_LENGTH = 4;
export const SET_DESCRIPTOR_LENGTH = 4;
