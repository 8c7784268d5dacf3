/** Fields of GRUB 2's BIOS images that grub-bios-setup fills in: include/grub/i386/pc/boot.h. */

/** boot.img, the 512 bytes in the MBR. */
export const GRUB_BOOT = {
  /** 64 bits: the sector where core.img begins. */
  kernelSector: 0x5c,
  /** 8 bits: the BIOS drive to load from; 0xff is the one that the BIOS booted. */
  bootDrive: 0x64,
  /** A two-byte jump over the repair of a drive number that a BIOS passed without bit 7. */
  driveCheck: 0x66,
} as const;

/** core.img's first sector ends in the list of the blocks that follow; grub-mkimage leaves one, complete but for its place. */
export const GRUB_CORE_BLOCK_LIST = {
  /** 64 bits: the sector of the second 512 bytes. */
  start: 0x1f4,
  /** 16 bits: how many sectors. */
  length: 0x1fc,
} as const;

export const X86_NOP = 0x90;
