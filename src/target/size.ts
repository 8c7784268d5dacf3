/** Sizes as people write them: `512`, `64M`, `10GiB`, `1t`; 1024-based, any case, as targetcli takes them. */

const SIZE = /^([0-9]+)([kmgtp]?)i?b?$/i;
const UNITS = ['', 'k', 'm', 'g', 't', 'p'];

/** Bytes; undefined when `text` is no size or is beyond 2^53. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match === null) return undefined;
  const bytes = Number(match[1]) * 1024 ** UNITS.indexOf(match[2].toLowerCase());
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** As `parseSize` takes it, in the largest unit that fits: `20G`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value > 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${UNITS[unit].toUpperCase()}`;
}

/** For people: `10 GiB`, `1.5 MiB`, `512 bytes`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(1))} ${UNITS[unit].toUpperCase()}iB`;
}
