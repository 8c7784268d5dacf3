/** Cache modes under QEMU's names: whether writes pass through the page cache, and whether GOOD means durable. */
export const CACHE_MODES = ['writeback', 'writethrough', 'none', 'directsync'] as const;
export type CacheMode = (typeof CACHE_MODES)[number];

/** Past the page cache, with O_DIRECT. */
export function isDirect(mode: CacheMode): boolean {
  return mode === 'none' || mode === 'directsync';
}

/** Every write is durable before it is answered: the disk shows no volatile cache. */
export function isWriteThrough(mode: CacheMode): boolean {
  return mode === 'writethrough' || mode === 'directsync';
}
