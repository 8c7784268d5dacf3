import test from 'ava';
import { closeAll } from '../../src/target/close-all.ts';

test('what fails to close keeps nothing else from being closed, and the first failure is told', async (t) => {
  const closed: number[] = [];
  const step = (number: number, failing: boolean) => async () => {
    closed.push(number);
    if (failing) throw new Error(`number ${number}`);
  };
  await t.throwsAsync(
    closeAll([step(1, false), step(2, true), () => undefined, step(3, true), step(4, false)]),
    {
      message: 'number 2',
    },
  );
  t.deepEqual(closed, [1, 2, 3, 4]);
});
