/**
 * The dresses in which libiscsi's suite meets lunport: each test runs in the first one, and those that find nothing
 * to test there, or find another fault with it than ours, run in a dress of their own.
 */

export interface Dress {
  readonly name: string;
  /** DISK of `lunport serve`. */
  readonly disk: string;
  /** Tests that run in it. */
  readonly only: RegExp;
  /** Further arguments of `lunport serve`. */
  readonly options?: readonly string[];
  /** Portals, each an URL of the run: two for multipath. */
  readonly urls: 1 | 2;
  /** `user%secret@` in the URL. */
  readonly login?: string;
  /** Takes minutes: `make conformance` alone waits for it. */
  readonly slow?: true;
}

const CHAP_SECRET = '0x6c756e706f7274736563726574';

const SPECIAL: readonly Dress[] = [
  { name: 'two portals', disk: 'ram:128M', urls: 2, only: /\.MultipathIO\./ },
  { name: 'read-only', disk: 'ram:128M,ro', urls: 1, only: /\.ReadOnly\./ },
  {
    name: 'removable',
    disk: 'ram:128M,removable',
    urls: 1,
    only: /\.(PreventAllow|StartStopUnit|NoMedia)\./,
  },
  // In 1.19 these unmap by WRITE SAME with a block of FFh, and expect zeroes of a disk with LBPRZ. SBC-3 4.7.3.4.4
  // has such a block written instead; without LBPRZ nothing is promised, and the tests leave it at that.
  {
    name: 'no LBPRZ',
    disk: 'ram:128M,attr.unmap_zeroes_data=0',
    urls: 1,
    only: /\.WriteSame1[06]\.(Unmap|UnmapUntilEnd|UnmapUnaligned)$/,
  },
  // Asks for LBA n + 1 and expects the extent that starts one physical block after n: right only if they are equal.
  {
    name: 'blocks of 4096 bytes',
    disk: 'ram:128M,block-size=4096',
    urls: 1,
    only: /\.GetLBAStatus\.UnmapSingle$/,
  },
  {
    name: 'short WRITE SAME',
    disk: 'ram:128M,attr.max_write_same_len=4096',
    urls: 1,
    only: /\.WriteSame1[06]\.ZeroBlocks$/,
  },
  {
    name: 'atomic alignment',
    disk: 'ram:128M,attr.atomic_alignment=8,attr.atomic_granularity=8',
    urls: 1,
    only: /\.WriteAtomic16\.VPD$/,
  },
  // It must be at work for longer than the test sleeps; and then the test sleeps another minute.
  { name: 'slow to overwrite', disk: 'ram:4G', urls: 1, only: /\.Sanitize\.Reset$/, slow: true },
  {
    name: 'CHAP',
    disk: 'ram:128M',
    urls: 1,
    only: /\.iSCSICHAP\./,
    options: ['--chap', `0xlunport:${CHAP_SECRET}`],
    login: `0xlunport%${CHAP_SECRET}@`,
  },
];

export const DRESSES: readonly Dress[] = [
  {
    name: 'plain',
    disk: 'ram:128M',
    urls: 1,
    only: new RegExp(`^(?!${SPECIAL.map(({ only }) => `.*${only.source}`).join('|')})`),
  },
  ...SPECIAL,
];

const NO_CRYPTO_ERASE =
  'no backstore encrypts, so none has a key to forget, and SANITIZE/CRYPTO ERASE is not offered';

/** Tests that do not pass, and why. */
export const EXPLAINED: ReadonlyMap<string, string> = new Map([
  [
    'ALL.iSCSITMF.LUNResetSimpleAsync',
    '1.19 checks a flag (reconnect_succeeded) that only the callback of the request sets which it has just queued; ' +
      'later releases expect a queued PDU that the library has sent at once',
  ],
  [
    'ALL.iSCSITMF.AbortTaskSimpleAsync',
    'after 1.19 it expects a queued PDU that the library has sent at once',
  ],
  [
    'ALL.CompareAndWrite.InvalidDataOutSize',
    'after 1.19 it changes every PDU but the SCSI Command that it means to change, which is right as it is then',
  ],
  ['ALL.Sanitize.CryptoErase', NO_CRYPTO_ERASE],
  ['ALL.Sanitize.Readonly', NO_CRYPTO_ERASE],
  ['ALL.Sanitize.Reservations', NO_CRYPTO_ERASE],
]);
