import { SECTOR } from './gpt-spec.ts';
import { GRUB_BOOT, GRUB_CORE_BLOCK_LIST, X86_NOP } from './grub-spec.ts';
import { GuestError } from './guest-error.ts';

/**
 * What grub-bios-setup does when it embeds core.img in a BIOS boot partition. That program insists on a block
 * device, and so on root and a loop device; the work itself is four fields.
 *
 * @param coreLba the sector where core.img will lie
 */
export function embedGrub(bootImg: Buffer, coreImg: Buffer, coreLba: number): { boot: Buffer; core: Buffer } {
  const boot = Buffer.from(bootImg);
  const core = Buffer.from(coreImg);
  const length = core.readUInt16LE(GRUB_CORE_BLOCK_LIST.length);
  if (boot.length !== SECTOR || length !== Math.ceil(core.length / SECTOR) - 1) {
    throw new GuestError('BUILD_FAILED', "GRUB's boot.img or core.img has another layout than that of 2.06", {
      hint: 'compare qemu/grub-spec.ts with include/grub/i386/pc/boot.h of the newer GRUB',
    });
  }
  boot.writeBigUInt64LE(BigInt(coreLba), GRUB_BOOT.kernelSector);
  boot.writeUInt8(0xff, GRUB_BOOT.bootDrive);
  boot.fill(X86_NOP, GRUB_BOOT.driveCheck, GRUB_BOOT.driveCheck + 2);
  core.writeBigUInt64LE(BigInt(coreLba + 1), GRUB_CORE_BLOCK_LIST.start);
  return { boot, core };
}
