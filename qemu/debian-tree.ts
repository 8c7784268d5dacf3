/**
 * A Debian 12 tree, made by mmdebstrap from stock packages: the source of both vehicles. In the cache it is
 * one folder with `tree/` (kernel, programs, libraries: the initrd vehicle picks from it) and `root.ext4`
 * (the disk vehicle's root file system, with the right owners, which `tree/` does not have).
 */
import { readFileSync } from 'node:fs';
import { mkdir, readlink, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cached, recipeKey } from './cache.ts';
import { guestScript } from './package-root.ts';
import { runProgram } from './run-program.ts';

export type Progress = (line: string) => void;

/** Says on standard error, where it does not disturb a program's output, what takes so long. */
export function showProgress(line: string): void {
  process.stderr.write(`guest: ${line}\n`);
}

/** The root file system is found by this, never by a letter. */
export const ROOT_UUID = '6c756e70-6f72-4447-8275-657374726f74';

const SUITE = 'bookworm';

const PACKAGES = [
  // What makes it boot. busybox-static is the initrd vehicle's user space, and can power off without init.
  'linux-image-cloud-amd64',
  'initramfs-tools',
  'lz4',
  'busybox-static',
  'kmod',
  'grub-common',
  'grub-pc-bin',
  'grub-efi-amd64-bin',
  // What tests run in it.
  'sg3-utils',
  'lsscsi',
  'sdparm',
  'libiscsi-bin',
  'open-iscsi',
  'fio',
  'fdisk',
  'e2fsprogs',
  'xfsprogs',
  'btrfs-progs',
];

/** Of mmdebstrap's many words. */
const SHOWN = /^([WE]: |I: (running apt|downloading|extracting|installing|creating))/;

/** Nobody reads manuals in a test guest, and every test copies the disk. */
const UNREAD = ['doc', 'man', 'info', 'locale', 'lintian', 'bug'].map((name) => `/usr/share/${name}/*`);
/** btrfs-progs and open-iscsi would have every initrd look for such disks, at a cost of time. */
const HOOKS = ['btrfs', 'iscsi'].flatMap((name) => [`*/${name}`, `*/*/${name}`]);
const LEFT_OUT = [...UNREAD, ...HOOKS.map((name) => `/usr/share/initramfs-tools/${name}`)];

const HINT =
  'mmdebstrap fetches Debian packages: is deb.debian.org reachable (a mirror can be named by LUNPORT_DEBIAN_MIRROR), ' +
  'and is debian-archive-keyring installed? An ordinary user needs uidmap, ranges in /etc/subuid and /etc/subgid ' +
  'and unprivileged user namespaces; root needs none of these';

/** Hooks are given as text, in the environment: in unshare mode, root may not read this checkout. */
function hooks(): Record<string, string> {
  return {
    LUNPORT_ESSENTIAL: guestScript('essential-hook.sh'),
    LUNPORT_CUSTOMIZE: guestScript('customize-hook.sh'),
    LUNPORT_ROOT_UUID: ROOT_UUID,
  };
}

async function build(folder: string, progress: Progress): Promise<void> {
  const tar = join(folder, 'tree.tar');
  const mirror = process.env['LUNPORT_DEBIAN_MIRROR'];
  await mkdir(join(folder, 'tree'), { recursive: true });
  progress('fetching and installing Debian packages (a minute or two)');
  await runProgram(
    'mmdebstrap',
    [
      '--mode=auto',
      '--variant=minbase',
      '--architectures=amd64',
      `--include=${PACKAGES.join(',')}`,
      '--aptopt=APT::Install-Recommends "false"',
      ...LEFT_OUT.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
      '--essential-hook=eval "$LUNPORT_ESSENTIAL"',
      '--customize-hook=eval "$LUNPORT_CUSTOMIZE"',
      `--customize-hook=download /root.ext4 "${join(folder, 'root.ext4')}"`,
      '--customize-hook=rm "$1/root.ext4"',
      SUITE,
      tar,
      ...(mirror ? [mirror] : []),
    ],
    {
      env: hooks(),
      hint: HINT,
      onLine: (line) => SHOWN.test(line) && progress(line.slice(3)),
    },
  );
  // Ordinary files of whoever runs this: no device nodes, no owners, no set-user-id bits in a cache.
  progress('unpacking');
  await runProgram('tar', [
    ...[
      '-xf',
      tar,
      '-C',
      join(folder, 'tree'),
      '--no-same-owner',
      '--no-same-permissions',
      '--exclude=./dev',
    ],
  ]);
  await rm(tar);
}

/** The folder in the cache, built if it is not there. Takes a minute and about 900 MB the first time. */
export async function ensureDebianTree(progress: Progress): Promise<string> {
  const key = recipeKey(SUITE, PACKAGES.join(), LEFT_OUT.join(), ...Object.values(hooks()));
  return await cached(`debian-${key}`, (folder) => build(folder, progress), progress);
}

export interface Kernel {
  readonly image: string;
  /** The folder that is /lib/modules/RELEASE. */
  readonly modules: string;
}

/** Debian's kernel in such a folder. */
export async function kernelOf(folder: string): Promise<Kernel> {
  // /vmlinuz is a link that every Debian kernel package keeps.
  const name = basename(await readlink(join(folder, 'tree', 'vmlinuz')));
  const modules = join(folder, 'tree', 'usr/lib/modules', name.replace(/^vmlinuz-/, ''));
  return { image: join(folder, 'tree', 'boot', name), modules };
}

/** A boot loader's file that customize-hook.sh made. */
export function bootLoader(folder: string, name: 'boot.img' | 'core.img' | 'bootx64.efi'): Buffer {
  return readFileSync(join(folder, 'tree', 'boot', 'lunport', name));
}
