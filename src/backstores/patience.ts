/**
 * How long a person waits for a file whose server may never answer. Requests of initiators wait without a bound, and
 * are aborted by those who sent them.
 */
import { addon } from '../native/addon.ts';
import { LunportError } from '../native/errno.ts';

/** Milliseconds: others' changes wait behind this one. */
const PATIENCE = 30_000;

/** The answer, when there is one in time. Throws LunportError when there is none. */
export function patiently(path: string, answer: Promise<number>): Promise<number> {
  return new Promise((resolve, reject) => {
    const refuse = () =>
      reject(
        new LunportError({
          code: 'no-answer',
          object: path,
          message: `${path} has not answered for ${PATIENCE / 1000} seconds`,
          hint: 'is the server behind it, or the disk, alive?',
        }),
      );
    const timer = setTimeout(refuse, PATIENCE);
    answer.finally(() => clearTimeout(timer)).then(resolve, reject);
  });
}

/**
 * Resolves when whoever holds the file at `path` answers, be it that there is none: opening it takes many system calls,
 * each of which would hold up the event loop. Throws LunportError when nobody answers.
 */
export async function awaitAnswer(path: string): Promise<void> {
  await patiently(path, addon.reach(path));
}
