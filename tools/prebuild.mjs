/**
 * Puts the addon that was built here where an installed package looks for it, so that whoever installs lunport on
 * the same kind of machine needs no compiler. Elsewhere the package's install script compiles it. `npm pack` runs this.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

// The C library is in the name: a musl system must not take a glibc addon for its own.
const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
const folder = join('native', 'prebuilds', `${process.platform}-${process.arch}`);
mkdirSync(folder, { recursive: true });
copyFileSync(join('native', 'build', 'Release', 'lunport.node'), join(folder, `node.napi.${libc}.node`));
