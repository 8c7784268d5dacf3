/**
 * `make soak`: `lunport serve` killed by SIGKILL again and again while a guest writes and verifies. ROUNDS=100, or
 * ARGS='--rounds 100'; --newest: through the newest QEMU there is. With --endings it is replaced by a new version again
 * and again, and then guests are ended under load in all the ways of ending-rounds.ts; --only PART: those whose name has
 * it. Exit 1 if a guest saw an error or a byte is wrong.
 */
import { parseArgs } from 'node:util';
import { backportedQemu } from '../qemu/backported-qemu.ts';
import { newestQemu } from '../qemu/newest-qemu.ts';
import { ENDINGS, endingRounds } from './ending-rounds.ts';
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

/** Guest errors and bad bytes together. */
async function soakPowerCuts(rounds: number): Promise<number> {
  const { acknowledged, badBytes } = await powerCutRounds(rounds);
  console.log(`power cuts: ${rounds} rounds, ${acknowledged} writes acknowledged, ${badBytes} bad bytes`);
  return badBytes;
}

async function soakRestarts(what: 'kills' | 'upgrades', rounds: number, newest: boolean): Promise<number> {
  const qemu = await reconnectingQemu(newest);
  if (qemu === null) return 0;
  const result = await killRounds({
    rounds,
    qemu,
    upgrade: what === 'upgrades',
    onRound: (round, alive, dead) =>
      console.log(`round ${round}: ended after ${alive} ms, away for ${dead} ms`),
  });
  const { guestErrors, badBytes, passes, commandRounds, detail } = result;
  console.log(`guest: ${passes} runs of fio, ${commandRounds} rounds of other commands`);
  if (detail !== '') console.log(detail);
  console.log(`${what}: ${rounds} rounds, ${guestErrors} guest errors, ${badBytes} bad bytes`);
  return guestErrors + badBytes;
}

async function soakEndings(rounds: number, only: string): Promise<number> {
  let failures = 0;
  for (const [name, ending] of Object.entries(ENDINGS)) {
    if (!name.includes(only)) continue;
    const { verified, guestErrors, badBytes, detail } = await endingRounds(ending, rounds, (round, loaded) =>
      console.log(`round ${round}: ${name} after ${loaded} ms of load`),
    );
    if (detail !== '') console.log(detail);
    console.log(`${name}: ${verified} rounds, ${guestErrors} guest errors, ${badBytes} bad bytes`);
    failures += guestErrors + badBytes;
  }
  return failures;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: process.env['ROUNDS'] || ROUNDS },
    newest: { type: 'boolean', default: false },
    endings: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds is ${values.rounds}`);

let failures = 0;
if (values.endings) {
  if ('upgrades'.includes(values.only)) failures += await soakRestarts('upgrades', rounds, values.newest);
  failures += await soakEndings(rounds, values.only);
} else {
  failures += await soakPowerCuts(rounds);
  failures += await soakRestarts('kills', rounds, values.newest);
}
console.log(`soak: ${failures} guest errors and bad bytes`);
if (failures > 0) process.exitCode = 1;
