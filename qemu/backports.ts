/** Packages of Debian's backports, fetched and unpacked into a folder: nothing is installed, and no root is needed. */
import { readdirSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from './run-program.ts';

export const BACKPORTS = 'bookworm-backports';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const HINT = 'it is fetched from deb.debian.org, or from the mirror that LUNPORT_DEBIAN_MIRROR names';

/** apt with lists and a cache of its own, which leaves the system's alone. */
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

/**
 * Unpacks the packages into `folder`, and with them all that the `meta` package stands for.
 *
 * @throws GuestError when they cannot be fetched
 */
export async function unpackBackports(
  folder: string,
  { packages = [], meta }: { readonly packages?: readonly string[]; readonly meta?: string },
): Promise<void> {
  const apt = join(folder, 'apt');
  for (const name of ['state/lists/partial', 'cache/archives/partial', 'packages']) {
    await mkdir(join(apt, name), { recursive: true });
  }
  const mirror = process.env['LUNPORT_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian';
  await writeFile(join(apt, 'sources.list'), `deb [signed-by=${KEYRING}] ${mirror} ${BACKPORTS} main\n`);
  const options = aptOptions(apt);
  const downloads = join(apt, 'packages');
  await runProgram('apt-get', [...options, '-q', 'update'], { hint: HINT });
  const names = [...packages];
  if (meta !== undefined) {
    const said = await runProgram('apt-cache', [...options, 'depends', meta]);
    names.push(...[...said.matchAll(/^ *Depends: (\S+)$/gm)].map(([, name]) => name));
  }
  await runProgram('apt-get', [...options, '-q', 'download', ...names], { cwd: downloads, hint: HINT });
  for (const name of readdirSync(downloads)) {
    await runProgram('dpkg-deb', ['--extract', join(downloads, name), folder]);
  }
  await rm(apt, { recursive: true });
}
