/** How a logical unit names itself: standard INQUIRY data and the designators of VPD pages 80h and 83h. */

export interface Identity {
  /** T10 VENDOR IDENTIFICATION, at most 8 ASCII characters. */
  readonly vendor: string;
  /** PRODUCT IDENTIFICATION, at most 16 ASCII characters. */
  readonly product: string;
  /** PRODUCT REVISION LEVEL, at most 4 ASCII characters. */
  readonly revision: string;
  /** PRODUCT SERIAL NUMBER of VPD 80h; the same for every path and after every restart. */
  readonly serial: string;
  /** NAA IEEE Registered Extended designator (16 bytes), derived from the serial; the same on every path. */
  readonly naa: Uint8Array;
  /** VENDOR SPECIFIC IDENTIFIER of the T10 designator, ASCII, sent null-terminated; default: product and serial number. */
  readonly vendorSpecific?: string;
  /** Whether there is a SCSI name string designator, which some initiators prefer to the NAA; default true. */
  readonly nameString?: boolean;
}
