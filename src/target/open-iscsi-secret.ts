/**
 * A CHAP secret for iscsiadm, which takes one on its command line only, where every user of this machine can read it.
 * So it goes where iscsiadm would put it: into the record of the target, a file that only root reads.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from './durable-file.ts';
import { LunportError } from './errors.ts';

/** Where open-iscsi keeps its records: Debian's place, and that of others. */
const PLACES = ['/etc/iscsi/nodes', '/var/lib/iscsi/nodes'];
const NAME = 'node.session.auth.password';

/** `target` is known to iscsiadm already, by `-o new`. Throws LunportError when its record is not found. */
export async function writeIscsiSecret(
  target: string,
  secret: string,
  places: readonly string[] = PLACES,
): Promise<void> {
  const records = places.flatMap((place) => recordsOf(join(place, target)));
  if (records.length === 0) {
    throw new LunportError({
      code: 'no-iscsi-record',
      object: target,
      message: `open-iscsi has no record of ${target} below ${places.join(' or ')}`,
      hint: 'Use `lunport serve --iscsi` and log in by hand, or attach the disk in another way.',
    });
  }
  for (const path of records) await replaceFile(path, withSecret(readFileSync(path, 'utf8'), secret));
}

/** One file per portal and interface, in a directory per portal, or the file of a portal itself. */
function recordsOf(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return recordsOf(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Lines of `name = value` between two comments. */
function withSecret(record: string, secret: string): string {
  const lines = record.split('\n').filter((line) => !line.startsWith(`${NAME} =`));
  const end = lines.findIndex((line) => line.startsWith('# END RECORD'));
  lines.splice(end < 0 ? lines.length : end, 0, `${NAME} = ${secret}`);
  return lines.join('\n');
}
