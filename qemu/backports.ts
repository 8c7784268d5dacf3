/** Packages of Debian's backports, fetched and unpacked into a folder: nothing is installed, and no root is needed. */
import { readdirSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from './run-program.ts';

export const BACKPORTS = 'bookworm-backports';
/** Of the release after this guest's: what runs without its libraries can be taken from there. */
export const NEWEST_BACKPORTS = 'trixie-backports';

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

export interface Backports {
  readonly suite: string;
  readonly packages?: readonly string[];
  /** A package that stands for others: those it leads to whose names match. */
  readonly meta?: { readonly name: string; readonly members: RegExp };
}

/**
 * Unpacks the packages into `folder`.
 *
 * @throws GuestError when they cannot be fetched
 */
export async function unpackBackports(
  folder: string,
  { suite, packages = [], meta }: Backports,
): Promise<void> {
  const apt = join(folder, 'apt');
  for (const name of ['state/lists/partial', 'cache/archives/partial', 'packages']) {
    await mkdir(join(apt, name), { recursive: true });
  }
  const mirror = process.env['LUNPORT_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian';
  await writeFile(join(apt, 'sources.list'), `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`);
  const options = aptOptions(apt);
  const downloads = join(apt, 'packages');
  await runProgram('apt-get', [...options, '-q', 'update'], { hint: HINT });
  const names = [...packages];
  if (meta !== undefined) {
    const said = await runProgram('apt-cache', [
      ...options,
      'depends',
      '--recurse',
      '--important',
      meta.name,
    ]);
    // The packages themselves stand at the beginning of a line.
    names.push(
      ...[...said.matchAll(/^\S+$/gm)].map(([name]) => name).filter((name) => meta.members.test(name)),
    );
  }
  await runProgram('apt-get', [...options, '-q', 'download', ...names], { cwd: downloads, hint: HINT });
  for (const name of readdirSync(downloads)) {
    await runProgram('dpkg-deb', ['--extract', join(downloads, name), folder]);
  }
  await rm(apt, { recursive: true });
}
