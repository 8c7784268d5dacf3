import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atProcessEnd } from './process-end.ts';

export interface TemporaryFolder {
  readonly path: string;
  remove(): void;
}

/**
 * A private folder, for sockets above all: the short name keeps their paths below the 108 bytes that the
 * kernel allows. It goes away with `remove()` or with the process, whichever is first.
 */
export function temporaryFolder(): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), 'lunport-'));
  const remove = () => rmSync(path, { recursive: true, force: true });
  const unregister = atProcessEnd(remove);
  return {
    path,
    remove: () => {
      unregister();
      remove();
    },
  };
}
