/** Sense data for transfers that iSCSI itself saw go wrong (RFC 7143 11.4.7.2): key and additional sense code. */
export interface ProtocolSense {
  readonly key: number;
  readonly code: number;
}

export const protocolSense = {
  UNEXPECTED_UNSOLICITED_DATA: { key: 0x0b, code: 0x0c0c },
  INCORRECT_AMOUNT_OF_DATA: { key: 0x0b, code: 0x0c0d },
  SERVICE_CRC_ERROR: { key: 0x0b, code: 0x4705 },
} as const;
