/** The mixture of commands that the random tests send. */
import fc from 'fast-check';
import { otherAccesses, transfers } from './medium-commands.ts';
import { modeSelects, modeSense } from './mode-commands.ts';
import type { ModelCommand } from './model-command.ts';
import { release, reserve, reserveIn, reserveOut } from './reservation-commands.ts';
import { unitCommands } from './unit-commands.ts';

/** Any command, the ones that change what others may do less often than those that find out. */
export const modelCommand: fc.Arbitrary<ModelCommand> = fc
  .oneof(
    { weight: 8, arbitrary: transfers },
    { weight: 8, arbitrary: otherAccesses },
    { weight: 8, arbitrary: fc.constantFrom(...unitCommands, modeSense) },
    { weight: 1, arbitrary: modeSelects },
    { weight: 8, arbitrary: reserveOut },
    { weight: 2, arbitrary: fc.constantFrom(...reserveIn) },
    // A reservation by RESERVE shuts out nearly everything: it must not stand for long.
    { weight: 2, arbitrary: fc.constantFrom(reserve, release, release) },
  )
  // A counter-example is a list of names.
  .map((command) => Object.assign(command, { [fc.toStringMethod]: () => command.text }));
