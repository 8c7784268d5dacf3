/** What a person reads of a failure, and the exit code it gives. Must not need the addon: it may be what failed. */
import { CommanderError } from 'commander';
import { UsageError } from '../target/disk-spec.ts';
import { LunportError } from '../target/errors.ts';
import { ExitCode } from './exit-codes.ts';

/** Writes to stderr; returns the exit code. */
export function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  if (error instanceof UsageError) {
    process.stderr.write(`lunport: ${error.message}\n`);
    return ExitCode.USAGE;
  }
  if (error instanceof LunportError) {
    process.stderr.write(`lunport: ${error.message}\n`);
    if (error.hint !== undefined) process.stderr.write(`  hint: ${error.hint}\n`);
    return ExitCode.FAILED;
  }
  process.stderr.write(
    `lunport: a defect of lunport's own: ${error instanceof Error ? error.stack : String(error)}\n`,
  );
  return ExitCode.FAILED;
}
