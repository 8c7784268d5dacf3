/** Informational Exceptions Control mode page (SPC-4 7.5.11, SBC-3 6.4.6). */
import { emptyPage, type ModePage } from './mode-page.ts';

/** No exception conditions are predicted, so none are reported. */
const DEXCPT = 0x08;

export const informationalExceptionsPage: ModePage = {
  code: 0x1c,
  subpage: 0,
  name: 'Informational Exceptions Control',
  defaults: () => {
    const page = emptyPage(0x1c, 0, 0x0a);
    page[2] = DEXCPT;
    return page;
  },
};
