/**
 * `make soak`: `lunport serve` killed by SIGKILL again and again while a guest writes and verifies. ROUNDS=100, or
 * ARGS='--rounds 100'; --newest: through the newest QEMU there is. Exit 1 if the guest saw an error or a byte is wrong.
 */
import { parseArgs } from 'node:util';
import { backportedQemu } from '../qemu/backported-qemu.ts';
import { newestQemu } from '../qemu/newest-qemu.ts';
import { killRounds } from './kill-rounds.ts';
import { powerCutRounds } from './power-cut-rounds.ts';

const ROUNDS = '20';

async function reconnectingQemu(newest: boolean): Promise<readonly string[] | null> {
  try {
    return await (newest ? newestQemu() : backportedQemu());
  } catch (error) {
    console.log(`no QEMU that reconnects, so only rounds without a guest: ${(error as Error).message}`);
    return null;
  }
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: process.env['ROUNDS'] || ROUNDS },
    newest: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds is ${values.rounds}`);

const cuts = await powerCutRounds(rounds);
console.log(
  `power cuts: ${cuts.rounds} rounds, ${cuts.acknowledged} writes acknowledged, ${cuts.badBytes} bad bytes`,
);
let guestErrors = 0;
let badBytes = cuts.badBytes;
const qemu = await reconnectingQemu(values.newest);
if (qemu !== null) {
  const result = await killRounds({
    rounds,
    qemu,
    onRound: (round, alive, dead) =>
      console.log(`round ${round}: killed after ${alive} ms, away for ${dead} ms`),
  });
  console.log(`guest: ${result.passes} runs of fio, ${result.commandRounds} of other commands`);
  if (result.detail !== '') console.log(result.detail);
  guestErrors = result.guestErrors;
  badBytes += result.badBytes;
}
console.log(`soak: ${rounds} rounds, ${guestErrors} guest errors, ${badBytes} bad bytes`);
if (guestErrors + badBytes > 0) process.exitCode = 1;
