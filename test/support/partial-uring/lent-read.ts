/** A program: reads some times into a buffer that /dev/null was to lend and has not, and prints the results. */
import { openSync } from 'node:fs';
import { addon } from '../../../src/native/addon.ts';
import { IoFlag, IoKind } from '../../../src/native/engine-spec.ts';

const TIMES = 20;
const BYTES = 4096;
/** /dev/null takes any command. */
const COMMAND = 0xc010_7523;

const onReady = () => report(engine.reap());
const raw = addon.createEngine({ depth: 64, maxVectors: 64, mode: 'io_uring', threads: 1, onReady });
if (typeof raw === 'number') throw new Error(`createEngine: ${raw}`);
const engine = raw;
const completions = new Int32Array(engine.completions);
const lent = addon.lendKernelBuffers(openSync('/dev/null', 'r+'), 1, BYTES, COMMAND, COMMAND);
const file = openSync(process.execPath, 'r');
let left = TIMES;

/** By a worker, so that the move takes longer than what follows it. */
function read(): void {
  new Float64Array(engine.submissions).set([IoKind.READ_FILE, 0, file, IoFlag.WORKER, 0, BYTES, 0, 1]);
  new Float64Array(engine.vectors).set([lent, 0, BYTES]);
  report(engine.submit(1));
}

function report(count: number): void {
  for (let i = 0; i < count; i++) {
    console.log(completions[2 * i + 1]);
    if (--left > 0) setImmediate(read);
  }
}

read();
