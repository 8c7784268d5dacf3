/** What lunport outlives, and what a guest outlives of lunport: kills, resets, panics and unplugging, all under load. */
import test from 'ava';
import { backportedQemu } from '../../qemu/backported-qemu.ts';
import { ENDINGS, endingRounds } from '../../tools/ending-rounds.ts';
import { killRounds } from '../../tools/kill-rounds.ts';
import { powerCutRounds } from '../../tools/power-cut-rounds.ts';

for (const upgrade of [false, true]) {
  test.serial(
    `a guest sees no error and no wrong byte when lunport is ${upgrade ? 'upgraded' : 'killed'} three times`,
    async (t) => {
      t.timeout(180_000);
      const result = await killRounds({ rounds: 3, qemu: await backportedQemu(), upgrade });
      t.is(result.guestErrors, 0, result.detail);
      t.is(result.badBytes, 0, result.detail);
      t.true(result.passes > 0);
      t.true(result.commandRounds > 0);
    },
  );
}

test.serial('what was acknowledged is in the image of a lunport that was killed', async (t) => {
  const result = await powerCutRounds(3);
  t.is(result.badBytes, 0);
  t.true(result.acknowledged > 0);
});

for (const [name, ending] of Object.entries(ENDINGS)) {
  test.serial(`lunport serves on after ${name} under load`, async (t) => {
    t.timeout(180_000);
    const { verified, guestErrors, badBytes, detail } = await endingRounds(ending, 1);
    t.is(guestErrors, 0, detail);
    t.is(badBytes, 0);
    t.is(verified, 1);
  });
}
