/** What the commands of the random tests have in common. */
import type { CommandRequest } from '../../../src/fabrics/loopback/initiator.ts';
import type { DiskModel, Nature } from './disk-model.ts';
import type { Expected } from './expected.ts';

/** One command, ready for both sides. `text` names it in a counter-example. */
export interface ModelCommand {
  readonly text: string;
  /** The model as it is before the command: an initiator knows its own key, say. */
  readonly request: CommandRequest | ((disk: DiskModel, who: number) => CommandRequest);
  readonly nature: Nature;
  readonly perform: (disk: DiskModel, who: number) => Expected;
  /** Keeps of the data-in what `Expected.data` says; default: all. */
  readonly look?: (data: Uint8Array) => Uint8Array;
}

export const cdb = (length: number, ...bytes: number[]) => {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
};
