import type { RawPoll } from '../../../src/native/addon.ts';
import { systemError } from '../../../src/native/errno.ts';

/** The poll that was asked for, or an error. */
export function started(poll: RawPoll | number): RawPoll {
  if (typeof poll === 'number') throw systemError(poll, 'poll', 'a descriptor');
  return poll;
}
