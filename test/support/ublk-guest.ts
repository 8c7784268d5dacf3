/** A guest with ublk and lunport's package on /opt, and a small disk of its own beside it. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest, type GuestOptions } from '../../qemu/guest.ts';
import { makePackageImage } from './package-image.ts';

/** `folder` is for its images. */
export async function startUblkGuest(folder: string, initrd: GuestOptions['initrd']): Promise<Guest> {
  const data = join(folder, 'data.img');
  writeFileSync(data, '');
  truncateSync(data, 64 << 20);
  const guest = await Guest.start({
    vehicle: 'initrd',
    bootTimeoutMs: 400_000,
    memoryMiB: 1500,
    cpu: 'max,-cx16',
    accelerator: 'tcg',
    initrd,
    disks: [{ file: await makePackageImage(folder) }, { file: data }],
  });
  await guest.exec('mkdir -p /opt && mount -o ro /dev/$(ls /sys/class/scsi_device/*:0:0/device/block) /opt');
  return guest;
}
