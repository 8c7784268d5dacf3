import { posix } from 'node:path';
import { CPIO_ALIGNMENT, CPIO_MAGIC, CPIO_TRAILER, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG } from './cpio-spec.ts';

/**
 * Builds an initrd in memory. It is left uncompressed: QEMU copies it into the guest for nothing, while
 * unpacking it under TCG would take longer than the boot.
 *
 * Everything belongs to root, whoever builds it. Folders above a path are made as needed.
 */
export class Cpio {
  readonly #parts: Buffer[] = [];
  readonly #paths = new Set<string>(['/']);
  #inode = 0;

  has(path: string): boolean {
    return this.#paths.has(path);
  }

  folder(path: string, mode = 0o755): void {
    this.#add(path, S_IFDIR | mode);
  }

  file(path: string, data: Buffer | string, mode = 0o644): void {
    this.#add(path, S_IFREG | mode, Buffer.from(data));
  }

  link(path: string, target: string): void {
    this.#add(path, S_IFLNK | 0o777, Buffer.from(target));
  }

  device(path: string, major: number, minor: number): void {
    this.#add(path, S_IFCHR | 0o600, Buffer.alloc(0), major, minor);
  }

  finish(): Buffer {
    this.#write(CPIO_TRAILER, 0, Buffer.alloc(0), 0, 0);
    return Buffer.concat(this.#parts);
  }

  /** What is there already stays: the first to come wins. */
  #add(path: string, mode: number, data = Buffer.alloc(0), major = 0, minor = 0): void {
    if (this.#paths.has(path)) return;
    const above = posix.dirname(path);
    if (!this.#paths.has(above)) this.folder(above);
    this.#paths.add(path);
    this.#write(path.slice(1), mode, data, major, minor);
  }

  #write(name: string, mode: number, data: Buffer, major: number, minor: number): void {
    const nameBytes = Buffer.from(`${name}\0`);
    this.#inode += 1;
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    const fields = [this.#inode, mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, nameBytes.length, 0];
    const header = CPIO_MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join('');
    this.#pad(Buffer.concat([Buffer.from(header), nameBytes]));
    this.#pad(data);
  }

  #pad(bytes: Buffer): void {
    this.#parts.push(bytes, Buffer.alloc(-bytes.length & (CPIO_ALIGNMENT - 1)));
  }
}
