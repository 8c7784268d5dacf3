/** Power Condition mode page (SPC-4 7.5.13): all timers off; START STOP UNIT alone changes the condition. */
import { emptyPage, type ModePage } from './mode-page.ts';

export const powerConditionPage: ModePage = {
  code: 0x1a,
  subpage: 0,
  name: 'Power Condition',
  defaults: () => emptyPage(0x1a, 0, 0x26),
};
