/** The system's own tools (losetup, nbd-client, iscsiadm): one call each, and an error that says what they said. */
import { type ProgramEnd, runProgram } from '../native/program.ts';
import { LunportError } from './errors.ts';

/** Resolves with standard output. Throws LunportError; `object` is what it was about. */
export async function runTool(
  program: string,
  args: readonly string[],
  object: string,
  hint?: string,
): Promise<string> {
  const failure = (code: string, reason: string) =>
    new LunportError({ code, object, message: `${object}: ${program}: ${reason}`, hint });
  let end: ProgramEnd;
  try {
    end = await runProgram(program, args);
  } catch (error) {
    const { code, message } = error as LunportError;
    throw code === 'ENOENT'
      ? failure('tool-missing', `${program} is not installed`)
      : failure('tool-failed', message);
  }
  const { status, signal, output, errors } = end;
  if (status === 0) return output.trim();
  // Not the arguments, of which one may be a secret.
  const silent = status === undefined ? `it was ended by ${signal}` : `it failed with status ${status}`;
  throw failure('tool-failed', errors.trim() || silent);
}
