/** Pieces of CDB USAGE DATA masks that many commands share. */

/** CONTROL byte: NACA may be set; vendor-specific and obsolete bits may not (SAM-5 5.2). */
export const CONTROL = 0x04;

/** `count` bytes of a field that may take any value. */
export function any(count: number): number[] {
  return new Array<number>(count).fill(0xff);
}

/** `count` reserved bytes. */
export function reserved(count: number): number[] {
  return new Array<number>(count).fill(0);
}

/** GROUP NUMBER (SBC-3 5.8): no grouping function is offered, but any group may be named. */
export const GROUP_NUMBER = 0x1f;
