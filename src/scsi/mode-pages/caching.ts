/** Caching mode page (SBC-3 6.4.5). WCE says whether GOOD for a WRITE without FUA may come before stable storage. */
import { putU16 } from '../bytes.ts';
import { emptyPage, type ModePage } from './mode-page.ts';

const WCE = 0x04;
/** Byte 12: the cache's segments have no fixed size, and reading ahead is the backing's business. */
const DRA = 0x20;
const NO_LIMIT = 0xffff;

export const cachingPage: ModePage = {
  code: 0x08,
  subpage: 0,
  name: 'Caching',
  defaults: ({ attributes, backstore }) => {
    const page = emptyPage(0x08, 0, 0x12);
    // Without a volatile cache below, every write is stable when it completes: claiming a cache would only
    // make the guest send SYNCHRONIZE CACHE for nothing.
    if (attributes.emulate_write_cache !== 0 && backstore.capabilities.volatileCache) page[2] = WCE;
    putU16(page, 8, NO_LIMIT);
    putU16(page, 10, NO_LIMIT);
    page[12] = DRA;
    return page;
  },
  changeable: ({ backstore }) => (backstore.capabilities.volatileCache ? [[2, WCE]] : []),
  apply: (device, values) => {
    device.writeCacheEnabled = (values[2] & WCE) !== 0;
  },
};
