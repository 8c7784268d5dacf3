/**
 * Format Device and Rigid Disk Geometry mode pages (SBC-2 6.3.4, 6.3.10; obsolete in SBC-3). Firmware and old
 * guests still ask for cylinders, heads and sectors. A disk has none; it tells those of the usual BIOS
 * translation, so that both sides of a boot loader agree.
 */
import type { BlockDevice } from '../block-device.ts';
import { putU16, putU24 } from '../bytes.ts';
import { emptyPage, type ModePage } from './mode-page.ts';

const SECTORS_PER_TRACK = 63;
const HEADS = 255;
const MAXIMUM_CYLINDERS = 0xff_ffff;
/** Soft sectors: the flag that old guests look for in byte 20 of the Format Device page. */
const SSEC = 0x80;

function cylinders(device: BlockDevice): number {
  return Math.min(
    Math.max(1, Math.floor(device.blockCount / (HEADS * SECTORS_PER_TRACK))),
    MAXIMUM_CYLINDERS,
  );
}

export const formatDevicePage: ModePage = {
  code: 0x03,
  subpage: 0,
  name: 'Format Device',
  defaults: (device) => {
    const page = emptyPage(0x03, 0, 0x16);
    putU16(page, 2, HEADS);
    putU16(page, 10, SECTORS_PER_TRACK);
    putU16(page, 12, device.blockSize);
    putU16(page, 14, 1);
    page[20] = SSEC;
    return page;
  },
};

export const rigidDiskGeometryPage: ModePage = {
  code: 0x04,
  subpage: 0,
  name: 'Rigid Disk Geometry',
  defaults: (device) => {
    const page = emptyPage(0x04, 0, 0x16);
    putU24(page, 2, cylinders(device));
    page[5] = HEADS;
    return page;
  },
};
