/**
 * Cache Memory Statistics log page (SPC-4 7.3.5). The cache is the backing's: which reads it satisfied is not
 * ours to know. Which writes ended in it is.
 */
import { Counter } from '../statistics.ts';
import { counter, type LogPage } from './log-page.ts';

const WRITE_CACHE_MEMORY_HITS = 0x0003;

export const cacheMemoryStatisticsPage: LogPage = {
  code: 0x19,
  subpage: 0x20,
  name: 'Cache Memory Statistics',
  parameters: (_device, counts) => [counter(WRITE_CACHE_MEMORY_HITS, counts[Counter.CACHED_WRITES])],
  clearable: true,
};
