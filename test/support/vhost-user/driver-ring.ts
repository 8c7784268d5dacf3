/**
 * The driver's side of a virtqueue, whatever its format: the seam between drivers and rings. `DriverQueue` is
 * the split ring; a packed ring implements the same four verbs.
 */

/** One descriptor's worth of a request. */
export interface BufferElement {
  /** Guest-physical. */
  readonly address: number;
  /** Bytes; 0 is sent as it is. */
  readonly length: number;
  /** For the device to write. */
  readonly writable: boolean;
}

/** Called for each used element: the id from `add`, and the bytes the device says it wrote. */
export type UsedCallback = (id: number, written: number) => void;

export interface DriverRing {
  readonly kickFd: number;
  readonly callFd: number;
  /** Makes a request available to nobody yet; returns its id. Throws a RangeError when the ring is full. */
  add(elements: readonly BufferElement[]): number;
  /** Lets the device see all requests added so far; true when it wants a kick. */
  publish(): boolean;
  /** Writes the kick eventfd. */
  kick(): void;
  /** Hands over everything used since the last call; returns how many there were. */
  reap(callback: UsedCallback): number;
}
