/**
 * System calls on a file whose server may never answer, each on a thread of its own: whoever awaits one waits, and
 * nobody else does.
 */
import { addon } from './addon.ts';

/** The numbers are the addon's. */
export const Detached = { CLOSE: 0, SYNC: 1, SIZE: 2, GROW: 3, FIND_DATA: 4, FIND_HOLE: 5 } as const;
export type Detached = (typeof Detached)[keyof typeof Detached];

/** One file's calls, one after the other, so that it never holds more than one thread. */
export class DetachedCalls {
  readonly #fd: number;
  #last: Promise<unknown> = Promise.resolve();

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * `value`: the size of GROW, the offset of FIND_DATA and FIND_HOLE. Resolves with the result, or -errno; -EAGAIN at
   * the system's limit of threads, where only CLOSE is done all the same, by this thread.
   */
  run(call: Detached, value = 0): Promise<number> {
    const ask = () => addon.detached(call, this.#fd, value);
    // After one that was refused, too: the file is still to be closed.
    const result = this.#last.then(ask, ask);
    this.#last = result;
    return result;
  }
}
