/**
 * The initrd vehicle: Debian's cloud kernel started by QEMU itself, and a user space in memory of busybox and
 * the tools that a test asks for. It needs no disk, and so boots in half the time.
 */
import { readFileSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type BackportedKernel, backportedKernel } from './backported-kernel.ts';
import { cached, recipeKey } from './cache.ts';
import { Cpio } from './cpio.ts';
import { DebianFiles } from './debian-files.ts';
import { ensureDebianTree, type Kernel, kernelOf, type Progress, showProgress } from './debian-tree.ts';
import { modulesInOrder, readModule } from './kernel-modules.ts';
import { guestScript } from './package-root.ts';

/** To be changed with anything below that changes the archive. */
const LAYOUT = '1';

/** sd_mod comes last: loading it waits for the disks that the adapters found. */
const MODULES = ['virtio_pci', 'virtio_console', 'virtio_scsi', 'sg', 'sd_mod'];

const SCRIPTS = [
  { script: 'agent.sh', path: '/usr/lib/lunport/agent' },
  { script: 'initrd-init.sh', path: '/init' },
];

export interface InitrdOptions {
  /** Debian's own; that of its backports (6.12); the newest (7.3). TCG runs the newer ones with the CPU max,-cx16. */
  readonly kernel?: 'stable' | BackportedKernel;
  /** Debian packages, or programs, of qemu/debian-tree.ts: 'sg3-utils', 'fio', 'iscsi-test-cu', 'mkfs.ext4'. */
  readonly tools?: readonly string[];
  /** Kernel modules to load besides those for virtio-scsi disks: 'xfs', 'btrfs', 'dm_multipath'. */
  readonly modules?: readonly string[];
  /** More files: path in the guest → path here. Libraries of programs come from Debian. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface Initrd {
  readonly kernel: string;
  readonly initrd: string;
}

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\n';

function build(tree: string, kernel: Kernel, options: InitrdOptions): Buffer {
  const cpio = new Cpio();
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    cpio.folder(`/usr/${name}`);
    cpio.link(`/${name}`, `usr/${name}`);
  }
  for (const name of ['dev', 'proc', 'sys', 'run', 'tmp', 'mnt', 'root', 'usr/lib/busybox'])
    cpio.folder(`/${name}`);
  // The kernel opens it for /init before /init can mount anything.
  cpio.device('/dev/console', 5, 1);
  cpio.file('/etc/passwd', PASSWD);
  cpio.link('/etc/mtab', '/proc/mounts');
  for (const { script, path } of SCRIPTS) cpio.file(path, guestScript(script), 0o755);

  const order = modulesInOrder(kernel.modules, [...(options.modules ?? []), ...MODULES]);
  for (const path of order) cpio.file(`/usr/lib/modules/${path}`, readModule(join(kernel.modules, path)));
  cpio.file('/modules', order.map((path) => `${path}\n`).join(''));

  const debian = new DebianFiles(tree);
  debian.add('/usr/bin/busybox');
  for (const [path, source] of Object.entries(options.files ?? {})) {
    const data = readFileSync(source);
    cpio.file(path, data, statSync(source).mode & 0o777);
    debian.addLibraries(data);
  }
  for (const name of options.tools ?? []) debian.tool(name);
  for (const file of debian.files) {
    if ('target' in file) cpio.link(file.path, file.target);
    else cpio.file(file.path, file.data, file.mode);
  }
  // busybox is /bin/sh, unless dash was asked for.
  cpio.link('/usr/bin/sh', 'busybox');
  return cpio.finish();
}

/** Kernel and initrd for `qemu -kernel -initrd`, built if they are not in the cache; a second when Debian is. */
export async function ensureInitrd(
  options: InitrdOptions = {},
  progress: Progress = showProgress,
): Promise<Initrd> {
  const debian = await ensureDebianTree(progress);
  const { kernel: which = 'stable' } = options;
  const stable = which === 'stable';
  const kernel = stable ? await kernelOf(debian) : await backportedKernel(which, debian, progress);
  const tools = [...new Set(options.tools)].sort();
  const files = Object.entries(options.files ?? {}).map(([path, source]) => {
    return `${path} ${statSync(source).mode} ${recipeKey(readFileSync(source))}`;
  });
  const key = recipeKey(
    LAYOUT,
    basename(debian),
    ...(stable ? [] : [kernel.image]),
    ...SCRIPTS.map(({ script }) => guestScript(script)),
    ...['tools', ...tools, 'modules', ...(options.modules ?? []), 'files', ...files],
  );
  const folder = await cached(`initrd-${key}`, async (unfinished) => {
    await mkdir(unfinished);
    const archive = build(join(debian, 'tree'), kernel, { ...options, tools });
    await writeFile(join(unfinished, 'initrd.cpio'), archive);
  });
  return { kernel: kernel.image, initrd: join(folder, 'initrd.cpio') };
}
