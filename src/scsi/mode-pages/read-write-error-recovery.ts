/**
 * Read-Write Error Recovery mode page (SBC-3 6.4.7). All zero: retries, if any, are the backing's own, and no
 * error is hidden or delivered with data.
 */
import { emptyPage, type ModePage } from './mode-page.ts';

export const readWriteErrorRecoveryPage: ModePage = {
  code: 0x01,
  subpage: 0,
  name: 'Read-Write Error Recovery',
  defaults: () => emptyPage(0x01, 0, 0x0a),
};
