/**
 * What a slot's header, response and descriptors look like: virtio-scsi for lunport and its kind, virtio-blk for
 * qemu-storage-daemon. A slot is prepared once; each request then changes only address and direction.
 */
import {
  DEFAULT_CDB_SIZE,
  DEFAULT_SENSE_SIZE,
  QueueIndex,
  RequestHeader,
  ResponseHeader,
} from '../src/fabrics/vhost-user/virtio-scsi-spec.ts';
import { lunField } from '../test/support/vhost-user/virtio-scsi-driver.ts';

const BLOCK_SHIFT = 9;

/** SBC-4 5.11 and 5.38: READ(10), WRITE(10). */
const ScsiOpcode = { READ_10: 0x28, WRITE_10: 0x2a } as const;

/** Virtio 1.2, 5.2.6: u32 type, u32 reserved, u64 sector; then data; then one byte of status. */
const BlkHeader = { TYPE: 0, SECTOR: 8, LENGTH: 16 } as const;
const BlkType = { IN: 0, OUT: 1 } as const;

/** Descriptors of a slot by role; a chain is an order of these. */
export const Role = { HEADER: 0, DATA: 1, RESPONSE: 2 } as const;

export interface RequestFormat {
  /** Bytes. */
  readonly headerLength: number;
  readonly responseLength: number;
  /** Index of the first request queue. */
  readonly firstQueue: number;
  /** Order of the roles in a chain. */
  readonly readOrder: readonly number[];
  readonly writeOrder: readonly number[];
  /** Fills a slot's header for requests of `requestBytes`; `id` is unique in its queue. */
  prepare(header: Uint8Array, id: number, requestBytes: number): void;
  /** Sets direction and place (bytes) of the next request, in the header that starts at `at`. */
  aim(memory: Uint8Array, at: number, isRead: boolean, offset: number): void;
  /** Whether the response that starts at `at` says success. */
  succeeded(memory: Uint8Array, at: number): boolean;
}

const CDB = RequestHeader.CDB;

export const SCSI_FORMAT: RequestFormat = {
  headerLength: CDB + DEFAULT_CDB_SIZE,
  responseLength: ResponseHeader.SENSE + DEFAULT_SENSE_SIZE,
  firstQueue: QueueIndex.FIRST_REQUEST,
  readOrder: [Role.HEADER, Role.RESPONSE, Role.DATA],
  writeOrder: [Role.HEADER, Role.DATA, Role.RESPONSE],

  prepare(header, id, requestBytes) {
    header.fill(0);
    header.set(lunField(0, 0), RequestHeader.LUN);
    new DataView(header.buffer, header.byteOffset).setUint32(RequestHeader.ID, id, true);
    const blocks = requestBytes >> BLOCK_SHIFT;
    header[CDB + 7] = blocks >> 8;
    header[CDB + 8] = blocks;
  },

  aim(memory, at, isRead, offset) {
    const lba = offset / 512;
    memory[at + CDB] = isRead ? ScsiOpcode.READ_10 : ScsiOpcode.WRITE_10;
    memory[at + CDB + 2] = lba >>> 24;
    memory[at + CDB + 3] = lba >>> 16;
    memory[at + CDB + 4] = lba >>> 8;
    memory[at + CDB + 5] = lba;
  },

  succeeded(memory, at) {
    return memory[at + ResponseHeader.STATUS] === 0 && memory[at + ResponseHeader.RESPONSE] === 0;
  },
};

export const BLK_FORMAT: RequestFormat = {
  headerLength: BlkHeader.LENGTH,
  responseLength: 1,
  firstQueue: 0,
  readOrder: [Role.HEADER, Role.DATA, Role.RESPONSE],
  writeOrder: [Role.HEADER, Role.DATA, Role.RESPONSE],

  prepare(header) {
    header.fill(0);
  },

  aim(memory, at, isRead, offset) {
    const sector = offset / 512;
    memory[at + BlkHeader.TYPE] = isRead ? BlkType.IN : BlkType.OUT;
    memory[at + BlkHeader.SECTOR] = sector;
    memory[at + BlkHeader.SECTOR + 1] = sector >>> 8;
    memory[at + BlkHeader.SECTOR + 2] = sector >>> 16;
    memory[at + BlkHeader.SECTOR + 3] = sector >>> 24;
  },

  succeeded(memory, at) {
    return memory[at] === 0;
  },
};
