/** The client broke the NBD protocol: its connection ends, with this reason in the log; nobody else notices. */
export class NbdProtocolError extends Error {
  override name = 'NbdProtocolError';
}
