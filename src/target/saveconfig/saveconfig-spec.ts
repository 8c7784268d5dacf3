/**
 * saveconfig.json of LIO (rtslib): the parts that are read here. Everything else in it is carried along. Checked
 * loosely, since versions of rtslib differ; a number where one is expected is what matters.
 */
import { z } from 'zod';

const attributes = z.record(z.string(), z.union([z.number(), z.string()])).default({});
const text = z.string().default('');

const storageObject = z.looseObject({
  name: z.string(),
  plugin: z.string(),
  wwn: z.string().optional(),
  dev: z.string().optional(),
  size: z.number().optional(),
  write_back: z.boolean().optional(),
  readonly: z.boolean().optional(),
  nullio: z.boolean().optional(),
  attributes,
  alua_tpgs: z.array(z.looseObject({ name: z.string() })).default([]),
});

const lun = z.looseObject({
  index: z.number(),
  storage_object: z.string(),
  alua_tg_pt_gp_name: z.string().nullish(),
});

const chap = {
  chap_userid: text,
  chap_password: text,
  chap_mutual_userid: text,
  chap_mutual_password: text,
};

const nodeAcl = z.looseObject({
  node_wwn: z.string(),
  mapped_luns: z
    .array(
      z.looseObject({ index: z.number(), tpg_lun: z.number(), write_protect: z.boolean().default(false) }),
    )
    .default([]),
  attributes,
  ...chap,
});

const portal = z.looseObject({
  ip_address: z.string(),
  port: z.number(),
  iser: z.boolean().default(false),
  offload: z.boolean().default(false),
});

const tpg = z.looseObject({
  tag: z.number().default(1),
  enable: z.boolean().default(true),
  luns: z.array(lun).default([]),
  node_acls: z.array(nodeAcl).default([]),
  portals: z.array(portal).default([]),
  attributes,
  parameters: z.record(z.string(), z.string()).default({}),
  ...chap,
});

const target = z.looseObject({ fabric: z.string(), wwn: z.string(), tpgs: z.array(tpg).default([]) });

const fabricModule = z.looseObject({
  name: z.string(),
  discovery_userid: text,
  discovery_password: text,
  discovery_mutual_userid: text,
  discovery_mutual_password: text,
  discovery_enable_auth: z.boolean().default(false),
});

export const saveconfigSchema = z.looseObject({
  storage_objects: z.array(storageObject).default([]),
  targets: z.array(target).default([]),
  fabric_modules: z.array(fabricModule).default([]),
});

export type Saveconfig = z.infer<typeof saveconfigSchema>;
export type StorageObject = z.infer<typeof storageObject>;
export type LioTarget = z.infer<typeof target>;
export type LioTpg = z.infer<typeof tpg>;
export type LioNodeAcl = z.infer<typeof nodeAcl>;
export type LioChap = { readonly [K in keyof typeof chap]: string };

/** What `lun` says of its storage object. */
export function storageObjectPath({ plugin, name }: Pick<StorageObject, 'plugin' | 'name'>): string {
  return `/backstores/${plugin}/${name}`;
}
