/**
 * `node dist/qemu/image.js [disk|initrd [TOOL…]]` makes sure that a guest is in the cache, and prints its path.
 * Everything else in this folder does so by itself; this is for hands and for warming a cache.
 */
import { showProgress } from './debian-tree.ts';
import { ensureDiskImage } from './disk-image.ts';
import { ensureInitrd } from './initrd.ts';

const [vehicle = 'disk', ...tools] = process.argv.slice(2);
try {
  if (vehicle === 'disk') console.log(await ensureDiskImage(showProgress));
  else if (vehicle === 'initrd')
    console.log(Object.values(await ensureInitrd({ tools }, showProgress)).join('\n'));
  else throw new Error(`expected "disk" or "initrd" but received "${vehicle}"`);
} catch (error) {
  console.error(`image: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
