/** The system's own tools (losetup, nbd-client, iscsiadm): one call each, and an error that says what they said. */
import { execFile } from 'node:child_process';
import { LunportError } from './errors.ts';

/** Resolves with standard output. Throws LunportError; `object` is what it was about. */
export function runTool(
  program: string,
  args: readonly string[],
  object: string,
  hint?: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout.trim());
      const { code, signal } = error;
      const missing = (code as unknown) === 'ENOENT';
      // Node's own message and the error itself hold the arguments, of which one may be a secret.
      const silent = signal ? `it was ended by ${signal}` : `it failed with status ${code}`;
      const reason = missing ? `${program} is not installed` : stderr.trim() || silent;
      reject(
        new LunportError({
          code: missing ? 'tool-missing' : 'tool-failed',
          object,
          message: `${object}: ${program}: ${reason}`,
          hint,
        }),
      );
    });
  });
}
