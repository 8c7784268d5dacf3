import { crc32 } from 'node:zlib';
import test from 'ava';
import { GPT_BACKUP_SECTORS, partitionTable } from '../../qemu/gpt.ts';
import { GPT_TYPE, SECTOR } from '../../qemu/gpt-spec.ts';

const DISK_SECTORS = 4096;
const [[start, primary], [backupOffset, backup]] = partitionTable(
  DISK_SECTORS,
  '00112233-4455-6677-8899-aabbccddeeff',
  Buffer.from([0xeb, 0x63]),
  [
    {
      type: GPT_TYPE.efiSystem,
      guid: '00112233-4455-6677-8899-aabbccddeeff',
      name: 'EFI',
      firstLba: 2048,
      sectors: 16,
    },
  ],
);

/** A header's checksum as a reader computes it. */
function checksum(header: Buffer): number {
  const copy = Buffer.from(header.subarray(0, 92));
  copy.writeUInt32LE(0, 16);
  return crc32(copy);
}

test('the first sector has boot code, a protective record over the whole disk, and the signature', (t) => {
  t.is(start, 0);
  t.is(primary.toString('hex', 0, 2), 'eb63');
  t.is(primary.toString('hex', 446, 462), '00000200eeffffff01000000ff0f0000');
  t.is(primary.readUInt16LE(510), 0xaa55);
});

test('both headers are where the other says, and their checksums hold', (t) => {
  const first = primary.subarray(SECTOR, 2 * SECTOR);
  const last = backup.subarray(-SECTOR);
  t.is(backupOffset, (DISK_SECTORS - GPT_BACKUP_SECTORS) * SECTOR);
  t.is(first.readBigUInt64LE(32), BigInt(DISK_SECTORS - 1));
  t.is(last.readBigUInt64LE(32), 1n);
  for (const header of [first, last]) {
    t.is(header.toString('latin1', 0, 8), 'EFI PART');
    t.is(header.readUInt32LE(16), checksum(header));
  }
  t.is(first.readUInt32LE(88), crc32(primary.subarray(2 * SECTOR)));
});

test('an entry has its type with the first groups swapped, inclusive ends and a UTF-16 name', (t) => {
  const entry = primary.subarray(2 * SECTOR, 2 * SECTOR + 128);
  t.is(entry.toString('hex', 0, 16), '28732ac11ff8d211ba4b00a0c93ec93b');
  t.is(entry.readBigUInt64LE(32), 2048n);
  t.is(entry.readBigUInt64LE(40), 2063n);
  t.is(entry.toString('utf16le', 56, 62), 'EFI');
});
