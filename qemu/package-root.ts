import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The checkout's root. This module runs from qemu/ as well as from dist/qemu/, but the scripts that go into
 * guests lie only in qemu/guest/: the compiler does not copy them.
 */
export function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder);
    if (above === folder) throw new Error(`no package.json above ${import.meta.dirname}`);
    folder = above;
  }
  return folder;
}

/** The text of one of the scripts that run in guests or build them. */
export function guestScript(name: string): string {
  return readFileSync(join(packageRoot(), 'qemu', 'guest', name), 'utf8');
}
