#!/usr/bin/env node
/** The `lunport` command: runs the program and reports how it failed, if only that the addon does not load. */
import { ExitCode } from './exit-codes.ts';
import { report } from './report.ts';

async function main(): Promise<number> {
  try {
    const { runProgram } = await import('./program.ts');
    return await runProgram();
  } catch (error) {
    return report(error);
  }
}

// Whoever reads what is printed may go (`| head`), or its disk be full: no reason to end what guests use.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

// Not by a top-level await: where the last thing that ends is a file operation, Node may call it unsettled (13).
process.exitCode = ExitCode.FAILED;
void main().then((code) => {
  process.exitCode = code;
});
