/** `--page` as people write it: `0x83`, `83h`, `131`, `0a,1`, or sg3-utils' acronym `di`. */
import { UsageError } from '../../target/disk-spec.ts';
import { MODE_PAGES } from './mode-pages.ts';
import { VPD_PAGES } from './vpd-pages.ts';

export interface PageId {
  readonly page: number;
  readonly subpage: number;
}

/** Numbers are decimal unless 0x or h says otherwise, as with sg3-utils. Throws UsageError. */
export function parsePage(kind: 'vpd' | 'mode' | 'log', text: string): PageId {
  const acronym = byAcronym(kind, text);
  if (acronym !== undefined) return acronym;
  const [page, subpage = 0, ...rest] = text.split(',').map(numberOf);
  const limit = kind === 'vpd' ? 0xff : 0x3f;
  if (rest.length > 0 || !(page <= limit) || !(subpage <= 0xff) || (kind === 'vpd' && subpage !== 0)) {
    throw new UsageError(`--page: "${text}" names no ${kind} page`);
  }
  return { page, subpage };
}

function numberOf(text: string): number {
  if (/^0x[0-9a-f]+$/i.test(text) || /^\d+$/.test(text)) return Number(text);
  return /^[0-9a-f]+h$/i.test(text) ? Number.parseInt(text, 16) : Number.NaN;
}

function byAcronym(kind: 'vpd' | 'mode' | 'log', text: string): PageId | undefined {
  const pages = kind === 'vpd' ? VPD_PAGES : kind === 'mode' ? MODE_PAGES : {};
  const found = Object.entries(pages).find(([, { acronym }]) => acronym === text);
  if (found === undefined) return undefined;
  if (kind === 'vpd') return { page: Number(found[0]), subpage: 0 };
  const [page, subpage = '0'] = found[0].split('/');
  return { page: Number.parseInt(page, 16), subpage: Number.parseInt(subpage, 16) };
}
