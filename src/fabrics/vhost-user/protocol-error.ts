/**
 * The front-end broke the protocol: its connection ends with this reason, and nobody else notices. Never an
 * error of ours, and never a SCSI outcome.
 */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/**
 * The guest's driver broke the rules of a virtqueue: the device stops with this reason until it is reset, its
 * connection stays.
 */
export class VirtqueueError extends Error {
  override readonly name = 'VirtqueueError';
}
