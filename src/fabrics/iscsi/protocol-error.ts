/** The initiator broke iSCSI: its connection ends, with this reason in the log; nobody else notices. */
export class IscsiProtocolError extends Error {
  override name = 'IscsiProtocolError';
}
