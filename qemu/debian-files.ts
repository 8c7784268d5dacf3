import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join, posix } from 'node:path';
import { elfNeeds } from './elf.ts';
import { GuestError } from './guest-error.ts';

const PROGRAM_FOLDERS = ['/usr/bin', '/usr/sbin'];
const LIBRARY_FOLDERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib'];
/** glibc loads this when a thread is cancelled, which nothing in an ELF file says. */
const LOADED_LATER = '/usr/lib/x86_64-linux-gnu/libgcc_s.so.1';
/** Debian's folders are merged: /bin is /usr/bin. */
const MERGED = /^\/(bin|sbin|lib|lib64)\//;

/** One file of the tree, to be copied as it is. */
export type DebianFile =
  | { readonly path: string; readonly target: string }
  | { readonly path: string; readonly data: Buffer; readonly mode: number };

/** Picks programs out of a Debian tree, with all that they need to run. */
export class DebianFiles {
  readonly #tree: string;
  readonly #found = new Map<string, DebianFile>();

  constructor(tree: string) {
    this.#tree = tree;
  }

  get files(): Iterable<DebianFile> {
    return this.#found.values();
  }

  /** @param name a program's name, or a Debian package's: then all of its programs */
  tool(name: string): void {
    const program = PROGRAM_FOLDERS.map((folder) => `${folder}/${name}`).find((path) => this.#exists(path));
    const owned = this.#packageFiles(name);
    if (program === undefined && owned === null) {
      throw new GuestError('BAD_OPTION', `the guest has neither a program nor a package "${name}"`, {
        hint: 'packages are listed in qemu/debian-tree.ts; or pass a program of your own by `files`',
      });
    }
    if (program !== undefined) this.add(program);
    const settings = owned ?? (program === undefined ? [] : this.#ownerFiles(program));
    for (const path of settings) {
      if (path.startsWith('/etc/')) this.add(path);
      else if (owned !== null && PROGRAM_FOLDERS.includes(posix.dirname(path))) this.add(path);
    }
  }

  /** One path, links followed and added, libraries added. */
  add(path: string): void {
    const merged = path.replace(MERGED, '/usr/$1/');
    if (this.#found.has(merged)) return;
    const host = join(this.#tree, merged);
    const status = lstatSync(host, { throwIfNoEntry: false });
    if (status === undefined || status.isDirectory()) return;
    if (status.isSymbolicLink()) {
      const target = readlinkSync(host);
      this.#found.set(merged, { path: merged, target });
      this.add(posix.resolve(posix.dirname(merged), target));
      return;
    }
    const data = readFileSync(host);
    this.#found.set(merged, { path: merged, data, mode: status.mode & 0o777 });
    this.addLibraries(data);
  }

  /** The libraries of a program that need not be from the tree itself. */
  addLibraries(program: Buffer): void {
    const needs = elfNeeds(program);
    if (needs === null || (needs.interpreter === null && needs.needed.length === 0)) return;
    if (needs.interpreter !== null) {
      this.add(needs.interpreter);
      this.add(LOADED_LATER);
    }
    for (const name of needs.needed) {
      const path = [...needs.runPath, ...LIBRARY_FOLDERS]
        .map((folder) => `${folder}/${name}`)
        .find((candidate) => this.#exists(candidate));
      if (path !== undefined) this.add(path);
    }
  }

  #exists(path: string): boolean {
    return lstatSync(join(this.#tree, path), { throwIfNoEntry: false }) !== undefined;
  }

  /** dpkg's list of a package's files, or null. */
  #packageFiles(name: string): string[] | null {
    for (const suffix of ['', ':amd64']) {
      const list = join(this.#tree, 'var/lib/dpkg/info', `${name}${suffix}.list`);
      if (existsSync(list)) return this.#readList(list);
    }
    return null;
  }

  #readList(list: string): string[] {
    const paths = readFileSync(list, 'utf8').split('\n');
    return paths.map((path) => path.replace(MERGED, '/usr/$1/'));
  }

  /** The files of the package that a program belongs to. */
  #ownerFiles(program: string): string[] {
    const folder = join(this.#tree, 'var/lib/dpkg/info');
    for (const name of readdirSync(folder)) {
      if (!name.endsWith('.list')) continue;
      const paths = this.#readList(join(folder, name));
      if (paths.includes(program)) return paths;
    }
    return [];
  }
}
