/**
 * The disk vehicle: a bootable Debian 12 disk, put together without loop devices, mounts or root.
 *
 *   MBR      GRUB's boot.img (BIOS), protective record
 *   1 MiB    gpt1  GRUB's core.img (BIOS)
 *   2 MiB    gpt2  EFI system partition, FAT, 8 MiB: \EFI\BOOT\BOOTX64.EFI
 *   10 MiB   gpt3  ext4, found by its UUID
 */
import { existsSync } from 'node:fs';
import { mkdir, open, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { embedGrub } from './bios-boot.ts';
import { cached, recipeKey } from './cache.ts';
import { bootLoader, ensureDebianTree, type Progress, ROOT_UUID, showProgress } from './debian-tree.ts';
import { type Partition, partitionTable } from './gpt.ts';
import { GPT_TYPE, MBR_BOOT_CODE_LENGTH, SECTOR } from './gpt-spec.ts';
import { GuestError } from './guest-error.ts';
import { guestScript } from './package-root.ts';
import { runProgram } from './run-program.ts';

const MIB_SECTORS = 1024 ** 2 / SECTOR;
const DISK_SECTORS = 1024 * MIB_SECTORS;
/** To be changed with anything below that changes the image. */
const LAYOUT = '1';
const DISK_GUID = '6c756e70-6f72-4400-8000-000000000000';

const BIOS_BOOT: Partition = {
  type: GPT_TYPE.biosBoot,
  guid: '6c756e70-6f72-4400-8000-000000000001',
  name: 'BIOS boot',
  firstLba: MIB_SECTORS,
  sectors: MIB_SECTORS,
};
const EFI_SYSTEM: Partition = {
  type: GPT_TYPE.efiSystem,
  guid: '6c756e70-6f72-4400-8000-000000000002',
  name: 'EFI system',
  firstLba: 2 * MIB_SECTORS,
  sectors: 8 * MIB_SECTORS,
};
/** Third: the boot loaders' prefix says (,gpt3). The last mebibyte is left to the backup table. */
const ROOT: Partition = {
  type: GPT_TYPE.linuxRootX8664,
  guid: '6c756e70-6f72-4400-8000-000000000003',
  name: 'root',
  firstLba: 10 * MIB_SECTORS,
  sectors: DISK_SECTORS - 11 * MIB_SECTORS,
};

interface Installed {
  readonly name: string;
  readonly path: string;
  readonly mode: string;
  readonly text: string;
}

/** What goes into the root file system when Debian is complete: it changes more often than Debian does. */
function installed(): Installed[] {
  const grubCfg = guestScript('grub.cfg').replaceAll('@ROOT_UUID@', ROOT_UUID);
  return [
    { name: 'agent', path: '/usr/lib/lunport/agent', mode: '0100755', text: guestScript('agent.sh') },
    { name: 'init', path: '/usr/sbin/init', mode: '0100755', text: guestScript('disk-init.sh') },
    { name: 'grub.cfg', path: '/boot/grub/grub.cfg', mode: '0100644', text: grubCfg },
  ];
}

async function writeRoot(image: string, source: string): Promise<void> {
  // dd leaves holes where it reads zeros.
  const seek = ROOT.firstLba / MIB_SECTORS;
  await runProgram('dd', [
    ...[`if=${source}`, `of=${image}`, 'bs=1M', `seek=${seek}`, 'conv=sparse,notrunc', 'status=none'],
  ]);
}

async function install(rootFs: string, folder: string): Promise<void> {
  const commands = ['mkdir /usr/lib/lunport'];
  for (const { name, path, mode, text } of installed()) {
    await writeFile(join(folder, name), text);
    commands.push(
      `write ${name} ${path}`,
      `sif ${path} mode ${mode}`,
      `sif ${path} uid 0`,
      `sif ${path} gid 0`,
    );
  }
  const input = `${commands.join('\n')}\n`;
  await runProgram('debugfs', ['-w', '-f', '-', rootFs], { cwd: folder, input });
  // debugfs ends with 0 whatever happens.
  for (const { path, text } of installed()) {
    if ((await runProgram('debugfs', ['-R', `cat ${path}`, rootFs])) !== text) {
      throw new GuestError('BUILD_FAILED', `debugfs did not put ${path} into the guest's file system`);
    }
  }
}

async function writeEsp(image: string, loader: string): Promise<void> {
  const drive = `${image}@@${EFI_SYSTEM.firstLba * SECTOR}`;
  await runProgram('mformat', ['-i', drive, '-T', String(EFI_SYSTEM.sectors), '-h', '16', '-s', '63', '::']);
  await runProgram('mmd', ['-i', drive, '::/EFI', '::/EFI/BOOT']);
  await runProgram('mcopy', ['-i', drive, loader, '::/EFI/BOOT/BOOTX64.EFI']);
}

async function build(folder: string, debian: string): Promise<void> {
  const path = join(folder, 'disk.img');
  const scratch = join(folder, 'scratch');
  await mkdir(scratch, { recursive: true });
  const rootFs = join(scratch, 'root.ext4');
  await runProgram('cp', ['--reflink=auto', '--sparse=always', join(debian, 'root.ext4'), rootFs]);
  await install(rootFs, scratch);
  await truncate(rootFs, ROOT.sectors * SECTOR);
  await runProgram('resize2fs', ['-f', rootFs]);
  await runProgram('e2fsck', ['-f', '-n', rootFs], { hint: 'the file system that was just made is damaged' });

  const { boot, core } = embedGrub(
    bootLoader(debian, 'boot.img'),
    bootLoader(debian, 'core.img'),
    BIOS_BOOT.firstLba,
  );
  const table = partitionTable(DISK_SECTORS, DISK_GUID, boot.subarray(0, MBR_BOOT_CODE_LENGTH), [
    BIOS_BOOT,
    EFI_SYSTEM,
    ROOT,
  ]);
  const image = await open(path, 'w');
  try {
    await image.truncate(DISK_SECTORS * SECTOR);
    for (const [offset, bytes] of table) await image.write(bytes, 0, bytes.length, offset);
    await image.write(core, 0, core.length, BIOS_BOOT.firstLba * SECTOR);
  } finally {
    await image.close();
  }
  const loader = join(scratch, 'bootx64.efi');
  await writeFile(loader, bootLoader(debian, 'bootx64.efi'));
  await writeEsp(path, loader);
  await writeRoot(path, rootFs);
  await rm(scratch, { recursive: true });
}

/**
 * The path of the bootable disk image, built if it is not in the cache. Nobody may write to it:
 * take a copy with {@link copyDiskImage}.
 */
export async function ensureDiskImage(progress: Progress = showProgress): Promise<string> {
  const debian = await ensureDebianTree(progress);
  const key = recipeKey(
    LAYOUT,
    basename(debian),
    ...installed().flatMap(({ path, mode, text }) => [path, mode, text]),
  );
  const make = async (unfinished: string) => {
    progress('making the bootable disk');
    await build(unfinished, debian);
  };
  const folder = await cached(`disk-${key}`, make, progress);
  return join(folder, 'disk.img');
}

/** A working copy that costs little: shared blocks where the file system can, holes elsewhere. */
export async function copyDiskImage(destination: string, progress?: Progress): Promise<string> {
  const image = await ensureDiskImage(progress);
  await runProgram('cp', ['--reflink=auto', '--sparse=always', image, destination]);
  return destination;
}

/**
 * Takes a file out of a disk image's root file system: what a guest has really written. Nobody may have the
 * image open.
 */
export async function extractFromDisk(image: string, path: string, destination: string): Promise<string> {
  // A guest that was powered off has left nothing in the journal; debugfs would not replay it.
  const rootFs = `${image}?offset=${ROOT.firstLba * SECTOR}`;
  const words = await runProgram('debugfs', ['-R', `dump ${path} ${destination}`, rootFs]);
  if (!existsSync(destination)) {
    throw new GuestError('JOB_FAILED', `${path} is not in the disk image`, { detail: words });
  }
  return destination;
}
