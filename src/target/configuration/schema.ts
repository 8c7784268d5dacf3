/**
 * The configuration of a lunport as plain data: what the command line comes to, what `--config` reads and what is
 * written back. docs/configuration.md describes it; nothing here touches a file.
 */
import { isIP } from 'node:net';
import { z } from 'zod';
import { CACHE_MODES } from '../../backstores/cache-mode.ts';
import { MAX_LUN } from '../../scsi/lun-map.ts';
import { ATTRIBUTE_NAMES, BLOCK_SIZES, SERIAL } from '../disk-spec.ts';
import { checkInitiator, checkName } from '../iscsi-options.ts';
import { LOG_LEVELS, MAX_POLL_MICROSECONDS, MAX_SHARDS } from '../option-values.ts';
import { parseSize } from '../size.ts';
import { contradictions } from './contradictions.ts';

export const CONFIGURATION_VERSION = 1;

const size = z.union(
  [
    z.int().positive(),
    z.string().transform((text, context) => {
      const bytes = parseSize(text);
      if (bytes !== undefined && bytes > 0) return bytes;
      context.addIssue({ code: 'custom', message: `expected a size such as "10G" but received "${text}"` });
      return z.NEVER;
    }),
  ],
  'expected a size: bytes, or a text such as "10G"',
);

const NAA_DISK = /^naa\.(6[0-9a-f]{31}|[25][0-9a-f]{15})$/;
/** What a configuration may call a disk. */
export const DISK_NAME = /^[^/\s]{1,64}$/;
export const NAA_PORT = /^naa\.[25c-f][0-9a-f]{15}$/;
const ascii = (most: number) =>
  z.string().regex(new RegExp(`^[\\x20-\\x7e]{0,${most}}$`), `expected at most ${most} printable characters`);

const identity = z.strictObject({
  vendor: ascii(8),
  product: ascii(16),
  revision: ascii(4),
  naa: z.string().regex(NAA_DISK, 'expected naa. and 32 hexadecimal digits that begin with 6'),
});

/** What all kinds of disk have. */
const disk = {
  readOnly: z.boolean().optional(),
  blockSize: z.literal(BLOCK_SIZES).optional(),
  serial: z.string().regex(SERIAL, 'expected 1 to 36 printable characters without spaces').optional(),
  cache: z.enum(CACHE_MODES).optional(),
  removable: z.boolean().optional(),
  protection: z.int().min(0).max(3).optional(),
  attributes: z.partialRecord(z.enum(ATTRIBUTE_NAMES), z.int().min(0).max(0xffff_ffff)).optional(),
  identity: identity.optional(),
};

const diskSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('file'),
    path: z.string().min(1),
    create: z.boolean().optional(),
    size: size.optional(),
    share: z.boolean().optional(),
    wait: z.boolean().optional(),
    ...disk,
  }),
  z.strictObject({ kind: z.literal('ram'), size, ...disk }),
  z.strictObject({ kind: z.literal('null'), size, ...disk }),
]);

const lun = z.int().min(0).max(MAX_LUN);

const credentials = z
  .strictObject({
    user: z.string().min(1),
    secret: z.string().min(1),
    mutualUser: z.string().min(1).optional(),
    mutualSecret: z.string().min(1).optional(),
  })
  .check((context) => {
    const { secret, mutualUser, mutualSecret } = context.value;
    const fail = (message: string) => void context.issues.push({ code: 'custom', message, input: undefined });
    if ((mutualUser === undefined) !== (mutualSecret === undefined))
      fail('mutualUser and mutualSecret go together');
    if (secret === mutualSecret) fail('the two secrets must differ (RFC 7143 9.2.1)');
  });

/** `check` throws UsageError for what is no name. */
const nameChecked = (check: (name: string) => string) =>
  z.string().transform((text, context) => {
    try {
      return check(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });

const host = z.string().refine((text) => isIP(text) !== 0, 'expected an IP address');
const port = z.int().min(0).max(65535);
const address = z.strictObject({ host, port: port.default(3260) });

/** No two of `items` have the same of what `key` gives. */
function distinct<T>(items: readonly T[], key: (item: T) => unknown): boolean {
  return new Set(items.map(key)).size === items.length;
}

const mappedLuns = z
  .array(z.strictObject({ lun, targetLun: lun, writeProtected: z.boolean().default(false) }))
  .refine((luns) => distinct(luns, (each) => each.lun), 'a LUN is there twice')
  // One disk at two LUNs of one initiator: its reservations and unit attentions would be ambiguous.
  .refine((luns) => distinct(luns, ({ targetLun }) => targetLun), 'a LUN of the target is mapped twice');

const iscsiTarget = z
  .strictObject({
    name: nameChecked(checkName).optional(),
    /** Absent: all portals. */
    addresses: z.array(address).min(1).optional(),
    credentials: credentials.optional(),
    acls: z
      .array(
        z.strictObject({
          initiator: nameChecked(checkInitiator),
          /** Absent: those of the target; null: none. */
          credentials: credentials.nullable().optional(),
          readOnly: z.boolean().optional(),
          luns: mappedLuns.optional(),
        }),
      )
      .refine((acls) => distinct(acls, ({ initiator }) => initiator), 'an initiator is there twice')
      .default([]),
    others: z.enum(['refused', 'read-only', 'admitted']).optional(),
    demo: z.boolean().default(false),
  })
  .transform((target) => ({
    ...target,
    others: target.others ?? (target.acls.length > 0 ? ('refused' as const) : ('admitted' as const)),
  }));

const wwn = z.string().regex(NAA_PORT, 'expected naa. and 16 hexadecimal digits');

const socket = z.strictObject({
  /** Absent: one in the runtime directory. */
  path: z.string().min(1).optional(),
  role: z.enum(['listen', 'connect']).default('listen'),
  /** Who comes there; absent: a name made from the path. */
  initiator: wwn.optional(),
  /** What it sees; absent: all of the target. */
  luns: mappedLuns.optional(),
});

const targetSchema = z.strictObject({
  device: z.enum(['scsi', 'blk']).optional(),
  wwn: wwn.optional(),
  /** Absent: one in the runtime directory. */
  sockets: z.array(socket).min(1).optional(),
  luns: z.array(z.strictObject({ lun, disk: z.string() })),
  /** Null: not over iSCSI. */
  iscsi: iscsiTarget.nullable().optional(),
});

export const configurationSchema = z
  .strictObject({
    version: z.literal(
      CONFIGURATION_VERSION,
      `expected ${CONFIGURATION_VERSION}, the only version that there is`,
    ),
    disks: z.record(z.string().regex(DISK_NAME, 'expected a name without "/" and spaces'), diskSchema),
    targets: z.array(targetSchema),
    iscsi: z
      .strictObject({
        addresses: z.array(address).min(1),
        discoveryCredentials: credentials.optional(),
        target: iscsiTarget.prefault({}),
      })
      .optional(),
    nbd: z
      .strictObject({
        address: z.union([z.strictObject({ path: z.string().min(1) }), z.strictObject({ host, port })]),
        certificates: z.string().optional(),
        keys: z.string().optional(),
        open: z.boolean().default(false),
      })
      .optional(),
    io: z.enum(['auto', 'io_uring', 'threads']).optional(),
    pollMicroseconds: z.int().min(0).max(MAX_POLL_MICROSECONDS).optional(),
    shards: z.int().min(0).max(MAX_SHARDS).optional(),
    /** Absent: the user's state directory; null: reservations are kept in memory. */
    stateDirectory: z.string().min(1).nullable().optional(),
    /** Absent: beside every target's sockets. */
    control: z.array(z.string().min(1)).optional(),
    /** Where Prometheus finds the metrics over HTTP. */
    metrics: z.strictObject({ host, port }).optional(),
    logLevel: z.enum(LOG_LEVELS).optional(),
    /** LIO's file that this one was imported from, for the way back. */
    saveconfig: z.looseObject({}).optional(),
  })
  .check((context) => {
    for (const { path, message } of contradictions(context.value)) {
      context.issues.push({ code: 'custom', path, message, input: undefined });
    }
  });

/** Checked, with defaults where other code would have to know them. */
export type Configuration = Unchanging<Omit<z.infer<typeof configurationSchema>, 'saveconfig'>> & {
  readonly saveconfig?: Readonly<Record<string, unknown>>;
};
export type DiskDescription = Unchanging<z.infer<typeof diskSchema>>;

type Unchanging<T> = { readonly [K in keyof T]: Unchanging<T[K]> };
