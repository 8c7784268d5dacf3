/** GUID partition table, UEFI specification 2.10, section 5. All numbers are little-endian. */

export const SECTOR = 512;

/** Protective MBR, section 5.2.3: 440 bytes of boot code, then a table with one record over the whole disk. */
export const MBR_BOOT_CODE_LENGTH = 440;
export const MBR_RECORD = 446;
export const MBR_SIGNATURE = 510;
export const MBR_TYPE_GPT_PROTECTIVE = 0xee;

/** Header, section 5.3.2. */
export const GPT_HEADER = {
  signature: 0,
  revision: 8,
  headerSize: 12,
  headerCrc32: 16,
  myLba: 24,
  alternateLba: 32,
  firstUsableLba: 40,
  lastUsableLba: 48,
  diskGuid: 56,
  partitionEntryLba: 72,
  numberOfPartitionEntries: 80,
  sizeOfPartitionEntry: 84,
  partitionEntryArrayCrc32: 88,
  length: 92,
} as const;

/** Entry, section 5.3.3. */
export const GPT_ENTRY = { type: 0, guid: 16, firstLba: 32, lastLba: 40, attributes: 48, name: 56 } as const;
export const GPT_ENTRY_LENGTH = 128;
export const GPT_ENTRIES = 128;

export const GPT_TYPE = {
  efiSystem: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  biosBoot: '21686148-6449-6e6f-744e-656564454649',
  linuxRootX8664: '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
} as const;
