/**
 * Adds to package-lock.json the optional platform packages that npm left out. npm drops an optional
 * package that its registry does not serve, as mirrors often do for foreign platforms, and then
 * `npm ci` refuses its own lock file as incomplete. Run `node tools/complete-lock.mjs` after an upgrade
 * through such a mirror. The added entries name no integrity, since none could be fetched.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const SYSTEMS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const PROCESSORS = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];

const path = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8'));
const added = [];
for (const [owner, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] || lock.packages[`${owner}/${key}`]) continue;
    const words = name.slice(name.indexOf('/') + 1).split('-');
    const os = words.filter((word) => SYSTEMS.includes(word));
    const cpu = words.filter((word) => PROCESSORS.includes(word));
    if (os.length !== 1 || cpu.length !== 1) throw new Error(`${name}: which system and processor?`);
    const libc = words.some((word) => word.startsWith('musl')) ? ['musl'] : ['glibc'];
    lock.packages[key] = {
      version,
      cpu,
      dev: true,
      ...(os[0] === 'linux' ? { libc } : {}),
      optional: true,
      os,
    };
    added.push(`${name}@${version}`);
  }
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en'));
lock.packages = Object.fromEntries(sorted);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(added.length === 0 ? 'nothing to add' : `added ${added.join(', ')}`);
