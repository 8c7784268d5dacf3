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

interface Tally {
  readonly rounds: number;
  readonly guestErrors: number;
  readonly badBytes: number;
}

function lineOf(what: string, { rounds, guestErrors, badBytes }: Tally): string {
  return `${what}: ${rounds} rounds, ${guestErrors} guest errors, ${badBytes} bad bytes`;
}

async function soakPowerCuts(rounds: number): Promise<Tally> {
  const { acknowledged, badBytes } = await powerCutRounds(rounds);
  console.log(`power cuts: ${rounds} rounds, ${acknowledged} writes acknowledged, ${badBytes} bad bytes`);
  return { rounds, guestErrors: 0, badBytes };
}

async function soakRestarts(what: 'kills' | 'upgrades', rounds: number, newest: boolean): Promise<Tally> {
  const qemu = await reconnectingQemu(newest);
  if (qemu === null) return { rounds: 0, guestErrors: 0, badBytes: 0 };
  const { guestErrors, badBytes, passes, commandRounds, detail } = await killRounds({
    rounds,
    qemu,
    upgrade: what === 'upgrades',
    onRound: (round, alive, dead) =>
      console.log(`round ${round}: ended after ${alive} ms, away for ${dead} ms`),
  });
  console.log(`guest: ${passes} runs of fio, ${commandRounds} rounds of other commands`);
  if (detail !== '') console.log(detail);
  const tally = { rounds, guestErrors, badBytes };
  console.log(lineOf(what, tally));
  return tally;
}

async function soakEndings(rounds: number, only: string): Promise<Tally[]> {
  const tallies: Tally[] = [];
  for (const [name, ending] of Object.entries(ENDINGS)) {
    if (!name.includes(only)) continue;
    const { verified, guestErrors, badBytes, detail } = await endingRounds(ending, rounds, (round, loaded) =>
      console.log(`round ${round}: ${name} after ${loaded} ms of load`),
    );
    if (detail !== '') console.log(detail);
    const tally = { rounds: verified, guestErrors, badBytes };
    console.log(lineOf(name, tally));
    tallies.push(tally);
  }
  return tallies;
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

const tallies: Tally[] = [];
if (values.endings) {
  if ('upgrades'.includes(values.only)) tallies.push(await soakRestarts('upgrades', rounds, values.newest));
  tallies.push(...(await soakEndings(rounds, values.only)));
} else {
  tallies.push(await soakPowerCuts(rounds), await soakRestarts('kills', rounds, values.newest));
}
const all = { rounds: 0, guestErrors: 0, badBytes: 0 };
for (const tally of tallies) {
  all.rounds += tally.rounds;
  all.guestErrors += tally.guestErrors;
  all.badBytes += tally.badBytes;
}
console.log(lineOf('soak', all));
if (all.guestErrors + all.badBytes > 0) process.exitCode = 1;
