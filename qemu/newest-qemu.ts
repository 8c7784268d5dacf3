/**
 * The newest QEMU that Debian has, with its own libraries and loader: they are younger than the system's, so nothing
 * of it is installed and nothing of the system is used. With it come qemu-img and qemu-io, which speak vhost-user-blk
 * through libblkio.
 */
import { join } from 'node:path';
import { cached, recipeKey } from './cache.ts';
import { type Progress, showProgress } from './debian-tree.ts';
import { runProgram } from './run-program.ts';

const SUITE = 'trixie';
const BACKPORTS = `${SUITE}-backports`;
const PACKAGES = ['qemu-system-x86', 'qemu-utils', 'qemu-block-extra'].map((name) => `${name}/${BACKPORTS}`);
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
const HINT = 'it is fetched from deb.debian.org, or from the mirror that LUNPORT_DEBIAN_MIRROR names';

async function build(folder: string, progress: Progress): Promise<void> {
  progress(`fetching QEMU and its libraries from Debian's ${BACKPORTS} (half a minute)`);
  const mirror = process.env['LUNPORT_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian';
  await runProgram(
    'mmdebstrap',
    [
      ...['--variant=extract', '--architectures=amd64', '--aptopt=APT::Install-Recommends "false"'],
      `--aptopt=APT::Default-Release "${BACKPORTS}"`,
      ...['--dpkgopt=path-exclude=/usr/share/doc/*', `--include=${PACKAGES.join(',')}`, SUITE, folder],
      ...[SUITE, BACKPORTS].map((suite) => `deb ${mirror} ${suite} main`),
    ],
    { hint: HINT },
  );
}

/**
 * The command that runs one of its programs: `qemu-system-x86_64` (for `MachineOptions.qemu`), `qemu-img`, `qemu-io`…
 * The first use fetches some 60 MB.
 *
 * @throws GuestError when it cannot be fetched
 */
export async function newestQemu(
  program = 'qemu-system-x86_64',
  progress: Progress = showProgress,
): Promise<readonly string[]> {
  const name = `debian-qemu-${recipeKey(SUITE, BACKPORTS, PACKAGES.join())}`;
  const root = await cached(name, (unfinished) => build(unfinished, progress), progress);
  const libraries = join(root, LIBRARIES);
  const data = ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'].map((path) => join(root, path));
  return [
    '/usr/bin/env',
    `QEMU_MODULE_DIR=${join(libraries, 'qemu')}`,
    join(libraries, 'ld-linux-x86-64.so.2'),
    ...['--library-path', libraries, join(root, 'usr/bin', program)],
    ...(program.startsWith('qemu-system') ? data.flatMap((path) => ['-L', path]) : []),
  ];
}
