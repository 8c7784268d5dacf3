/**
 * A newer QEMU beside the installed one: Debian's backport, unpacked into the cache and run from there, so that
 * nothing is installed. It reconnects to a back-end that died (8.2 and newer do).
 */
import { readdirSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, recipeKey } from './cache.ts';
import { type Progress, showProgress } from './debian-tree.ts';
import { runProgram } from './run-program.ts';

const SUITE = 'bookworm-backports';
const PACKAGES = ['qemu-system-x86', 'qemu-system-common', 'qemu-system-data'];
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** SeaBIOS and network ROMs are packages of their own, and the installed ones fit. */
const SHARED_FOLDERS = ['/usr/share/seabios', '/usr/lib/ipxe/qemu'];

const HINT = 'it is fetched from deb.debian.org, or from the mirror that LUNPORT_DEBIAN_MIRROR names';

/** apt with lists and a cache of its own, which no root is needed for and which leaves the system's alone. */
function aptOptions(folder: string): string[] {
  const settings = {
    'Dir::Etc::sourcelist': join(folder, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(folder, 'cache'),
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

async function build(folder: string, progress: Progress): Promise<void> {
  progress(`fetching QEMU from Debian's ${SUITE}`);
  const apt = join(folder, 'apt');
  for (const name of ['state/lists/partial', 'cache/archives/partial', 'packages']) {
    await mkdir(join(apt, name), { recursive: true });
  }
  const mirror = process.env['LUNPORT_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian';
  await writeFile(join(apt, 'sources.list'), `deb [signed-by=${KEYRING}] ${mirror} ${SUITE} main\n`);
  const options = aptOptions(apt);
  const packages = join(apt, 'packages');
  await runProgram('apt-get', [...options, '-q', 'update'], { hint: HINT });
  await runProgram('apt-get', [...options, '-q', 'download', ...PACKAGES], { cwd: packages, hint: HINT });
  for (const name of readdirSync(packages)) {
    await runProgram('dpkg-deb', ['--extract', join(packages, name), folder]);
  }
  await rm(apt, { recursive: true });
}

/**
 * The command for `MachineOptions.qemu`. The first use fetches 13 MB.
 *
 * @throws GuestError when it cannot be fetched
 */
export async function backportedQemu(progress: Progress = showProgress): Promise<readonly string[]> {
  const name = `debian-qemu-${recipeKey(SUITE, PACKAGES.join())}`;
  const folder = await cached(name, (unfinished) => build(unfinished, progress), progress);
  const folders = [join(folder, 'usr/share/qemu'), ...SHARED_FOLDERS];
  return [join(folder, 'usr/bin/qemu-system-x86_64'), ...folders.flatMap((path) => ['-L', path])];
}
