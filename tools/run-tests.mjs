/**
 * `make test`: runs every stage, even after one has failed, and ends with the sums. Plain JavaScript,
 * because it must be able to say that compiling failed.
 *
 * A stage is either one command, which counts as one test, or an ava run, which counts as its tests.
 * What cannot run because the build failed counts as skipped, one for each stage: the build itself
 * has already failed the run.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

/** By the convention of automake and of others, a test that exits so was skipped. */
const EXIT_SKIPPED = 77;

/** How many last lines of a failed command are shown again at the end. */
const TAIL_LINES = 60;

/** How long the output of a command that has exited is awaited. */
const PIPE_GRACE_MS = 5000;

const STAGES = [
  { name: 'packages', command: ['tools/setup.sh'] },
  { name: 'build', command: ['make', '--no-print-directory', 'build'] },
  { name: 'lint: biome', command: ['make', '--no-print-directory', 'lint-biome'] },
  { name: 'lint: oxlint', command: ['make', '--no-print-directory', 'lint-oxlint'] },
  { name: 'lint: knip', command: ['make', '--no-print-directory', 'lint-knip'] },
  { name: 'lint: imports', command: ['make', '--no-print-directory', 'lint-imports'], needsBuild: true },
  { name: 'sanitize', command: ['make', '--no-print-directory', 'sanitize'] },
  {
    name: 'unit',
    folder: 'dist/test',
    command: ['node_modules/.bin/ava', '--timeout', '2m', 'dist/test/**/*.test.js', '!dist/test/guest/**'],
    needsBuild: true,
  },
  {
    name: 'guest',
    folder: 'dist/test/guest',
    command: ['node_modules/.bin/ava', '--concurrency', '1', 'dist/test/guest/**/*.test.js'],
    needsBuild: true,
  },
];

/**
 * Counts results in what ava prints, and keeps all that it says about failures. Not its TAP: there,
 * ava 7.0.0 dies of a TypeError when a test hangs, and an assertion is located in ava's own sources.
 *
 * Result lines are indented by two blanks; a rule ends them, and the details of the failures follow up
 * to a second rule.
 */
export class AvaCounter {
  passed = 0;
  failed = 0;
  skipped = 0;
  /** The lines about failures, in ava's words. */
  failures = [];
  #about = 'results';
  #details = [];

  /** Takes a line without colours. */
  line(text) {
    if (/^ {2}─+$/.test(text)) {
      // Without failures there is one rule, and what follows it are ava's sums.
      if (this.#about === 'details') this.failures.push(...this.#details);
      this.#about = this.#about === 'details' ? 'sums' : 'details';
    } else if (this.#about === 'details') {
      this.#details.push(text);
    } else if (this.#about !== 'sums') {
      this.#result(text);
    }
  }

  #result(text) {
    const pending = /^ {2}(\d+) tests were pending in /.exec(text);
    // The plain signs are those that ava takes on a terminal without Unicode.
    if (/^ {2}[✔√] /.test(text)) {
      this.passed++;
      this.#about = 'results';
    } else if (/^ {2}- \[(skip|todo)\] /.test(text)) {
      this.skipped++;
      this.#about = 'results';
    } else if (/^ {2}[✘×] \[(fail|unexpected pass)\]: /.test(text)) {
      this.failed++;
      this.#about = 'results';
    } else if (pending !== null) {
      this.failed += Number(pending[1]);
      this.failures.push(text);
    } else if (/^ {2}Failed to exit when running /.test(text)) {
      this.failed++;
      this.failures.push(text);
    } else if (/^ {2}[✘×] Timed out while /.test(text)) {
      // The tests that hang are counted where they are listed.
      this.#about = 'failure';
      this.failures.push(text);
    } else if (/^ {2}[✘×] /.test(text)) {
      // A whole file: it crashed, exited, holds no tests, or did not finish them.
      this.failed++;
      this.#about = 'failure';
      this.failures.push(text);
    } else if (this.#about === 'failure' || /^ {2}(Uncaught exception|Unhandled rejection) in /.test(text)) {
      // Counted with the exit of the file that follows from it.
      this.#about = 'failure';
      this.failures.push(text);
    }
  }
}

/**
 * Runs a command with its output streamed, and calls back for each line of it, without colours.
 * Resolves to its exit code or the name of the signal that ended it.
 */
async function run([program, ...args], onLine) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = [];
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ]) {
    const lines = createInterface({ input: from });
    lines.on('line', (coloured) => {
      const text = stripVTControlCharacters(coloured);
      to.write(`${text}\n`);
      onLine(text, from === child.stdout);
    });
    closed.push(once(lines, 'close'));
  }
  const code = await new Promise((resolve) => {
    child.once('error', (error) => {
      onLine(String(error), false);
      resolve('no start');
    });
    child.once('exit', (exitCode, signal) => resolve(exitCode ?? signal));
  });
  // A process that the command left behind may hold the pipes open: it does not hold the run.
  await Promise.race([Promise.all(closed), setTimeout(PIPE_GRACE_MS, undefined, { ref: false })]);
  child.stdout.destroy();
  child.stderr.destroy();
  return code;
}

function hasTests(folder) {
  try {
    return readdirSync(folder, { recursive: true }).some((name) => name.endsWith('.test.js'));
  } catch {
    return false;
  }
}

async function runCommand(stage) {
  const last = [];
  const code = await run(stage.command, (text) => {
    last.push(text);
    if (last.length > TAIL_LINES) last.shift();
  });
  if (code === 0) return { passed: 1, failed: 0, skipped: 0, failures: [] };
  if (code === EXIT_SKIPPED) return { passed: 0, failed: 0, skipped: 1, failures: [] };
  return { passed: 0, failed: 1, skipped: 0, failures: [[...last, `exit: ${code}`]] };
}

async function runAva(stage) {
  if (!hasTests(stage.folder)) {
    const why = `no test files below ${stage.folder}`;
    return { passed: 0, failed: 1, skipped: 0, failures: [[why]] };
  }
  const counter = new AvaCounter();
  const errors = [];
  const code = await run(stage.command, (text, fromStdout) => {
    if (fromStdout) counter.line(text);
    else errors.push(text);
  });
  const { passed, skipped } = counter;
  const failures = counter.failures.length > 0 ? [counter.failures] : [];
  let { failed } = counter;
  // A run may also fail without a failed test, such as by an unreadable configuration.
  if (code !== 0 && failed === 0) {
    failed = 1;
    failures.push([...errors.slice(-TAIL_LINES), `exit: ${code}`]);
  }
  return { passed, failed, skipped, failures };
}

async function main() {
  const sums = { passed: 0, failed: 0, skipped: 0 };
  const report = [];
  const failures = [];
  let built = true;
  for (const stage of STAGES) {
    console.log(`\n=== ${stage.name}`);
    const started = performance.now();
    let result = { passed: 0, failed: 0, skipped: 1, failures: [] };
    if (stage.needsBuild && !built) console.log('not run: the build has failed');
    else result = await (stage.folder === undefined ? runCommand(stage) : runAva(stage));
    if (stage.name === 'build') built = result.failed === 0;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    for (const key of Object.keys(sums)) sums[key] += result[key];
    for (const lines of result.failures) failures.push(`--- ${stage.name}\n${lines.join('\n')}`);
    report.push(
      `${stage.name.padEnd(14)}${result.passed} passed, ${result.failed} failed, ` +
        `${result.skipped} skipped in ${seconds} s`,
    );
  }
  if (failures.length > 0) console.log(`\n=== failures\n${failures.join('\n\n')}`);
  const line = `${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped`;
  mkdirSync('.stamps', { recursive: true });
  writeFileSync('.stamps/sums', `${line}\n`);
  console.log(`\n=== stages\n${report.join('\n')}\n\n${line}`);
  process.exitCode = sums.failed === 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main();
