import { crc32 } from 'node:zlib';
import {
  GPT_ENTRIES,
  GPT_ENTRY,
  GPT_ENTRY_LENGTH,
  GPT_HEADER,
  MBR_RECORD,
  MBR_SIGNATURE,
  MBR_TYPE_GPT_PROTECTIVE,
  SECTOR,
} from './gpt-spec.ts';

export interface Partition {
  readonly type: string;
  readonly guid: string;
  readonly name: string;
  /** In sectors of 512 bytes. */
  readonly firstLba: number;
  readonly sectors: number;
}

const ENTRY_SECTORS = (GPT_ENTRIES * GPT_ENTRY_LENGTH) / SECTOR;

/** Sectors at the end of the disk that the backup table takes. */
export const GPT_BACKUP_SECTORS = ENTRY_SECTORS + 1;

/** A GUID as it lies on a disk: the first three groups little-endian, the others as written. */
function guidBytes(guid: string): Buffer {
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

function entries(partitions: readonly Partition[]): Buffer {
  const array = Buffer.alloc(GPT_ENTRIES * GPT_ENTRY_LENGTH);
  for (const [index, partition] of partitions.entries()) {
    const entry = array.subarray(index * GPT_ENTRY_LENGTH, (index + 1) * GPT_ENTRY_LENGTH);
    guidBytes(partition.type).copy(entry, GPT_ENTRY.type);
    guidBytes(partition.guid).copy(entry, GPT_ENTRY.guid);
    entry.writeBigUInt64LE(BigInt(partition.firstLba), GPT_ENTRY.firstLba);
    entry.writeBigUInt64LE(BigInt(partition.firstLba + partition.sectors - 1), GPT_ENTRY.lastLba);
    entry.write(partition.name, GPT_ENTRY.name, 'utf16le');
  }
  return array;
}

interface HeaderPlace {
  readonly myLba: number;
  readonly alternateLba: number;
  readonly entryLba: number;
}

function header(place: HeaderPlace, diskGuid: string, diskSectors: number, array: Buffer): Buffer {
  const sector = Buffer.alloc(SECTOR);
  sector.write('EFI PART', GPT_HEADER.signature, 'latin1');
  sector.writeUInt32LE(0x0001_0000, GPT_HEADER.revision);
  sector.writeUInt32LE(GPT_HEADER.length, GPT_HEADER.headerSize);
  sector.writeBigUInt64LE(BigInt(place.myLba), GPT_HEADER.myLba);
  sector.writeBigUInt64LE(BigInt(place.alternateLba), GPT_HEADER.alternateLba);
  sector.writeBigUInt64LE(BigInt(2 + ENTRY_SECTORS), GPT_HEADER.firstUsableLba);
  sector.writeBigUInt64LE(BigInt(diskSectors - GPT_BACKUP_SECTORS - 1), GPT_HEADER.lastUsableLba);
  guidBytes(diskGuid).copy(sector, GPT_HEADER.diskGuid);
  sector.writeBigUInt64LE(BigInt(place.entryLba), GPT_HEADER.partitionEntryLba);
  sector.writeUInt32LE(GPT_ENTRIES, GPT_HEADER.numberOfPartitionEntries);
  sector.writeUInt32LE(GPT_ENTRY_LENGTH, GPT_HEADER.sizeOfPartitionEntry);
  sector.writeUInt32LE(crc32(array), GPT_HEADER.partitionEntryArrayCrc32);
  // Computed with its own field as zero.
  sector.writeUInt32LE(crc32(sector.subarray(0, GPT_HEADER.length)), GPT_HEADER.headerCrc32);
  return sector;
}

function protectiveMbr(bootCode: Buffer, diskSectors: number): Buffer {
  const sector = Buffer.alloc(SECTOR);
  bootCode.copy(sector);
  sector.writeUInt32LE(0x0002_0000, MBR_RECORD); // not active, starts at C/H/S 0/0/2
  sector.writeUInt32LE((0xffff_ff00 | MBR_TYPE_GPT_PROTECTIVE) >>> 0, MBR_RECORD + 4);
  sector.writeUInt32LE(1, MBR_RECORD + 8);
  sector.writeUInt32LE(Math.min(diskSectors - 1, 0xffff_ffff), MBR_RECORD + 12);
  sector.writeUInt16LE(0xaa55, MBR_SIGNATURE);
  return sector;
}

/** The two ends of a partitioned disk, as [byte offset, bytes]. `bootCode` is at most 440 bytes. */
export function partitionTable(
  diskSectors: number,
  diskGuid: string,
  bootCode: Buffer,
  partitions: readonly Partition[],
): [number, Buffer][] {
  const array = entries(partitions);
  const last = diskSectors - 1;
  const backupEntries = last - ENTRY_SECTORS;
  const primary = header({ myLba: 1, alternateLba: last, entryLba: 2 }, diskGuid, diskSectors, array);
  const backup = header(
    { myLba: last, alternateLba: 1, entryLba: backupEntries },
    diskGuid,
    diskSectors,
    array,
  );
  return [
    [0, Buffer.concat([protectiveMbr(bootCode, diskSectors), primary, array])],
    [backupEntries * SECTOR, Buffer.concat([array, backup])],
  ];
}
