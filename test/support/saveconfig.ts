/** Parts of a saveconfig.json, small ones, as rtslib writes them. */

export const SERIAL = 'ea54b27a-7e2a-45c5-af31-933aa92c0bd1';
export const IQN = 'iqn.2018-12.example:disk';
export const CLIENT = 'iqn.2018-12.example:client';

export const FILE = {
  plugin: 'fileio',
  name: 'disk',
  dev: '/srv/disk.img',
  size: 1 << 30,
  wwn: SERIAL,
  write_back: false,
  aio: false,
  alua_tpgs: [{ name: 'default_tg_pt_gp', alua_access_state: 0 }],
  attributes: { block_size: 512, emulate_tpu: 0, max_unmap_lba_count: 8192, enforce_pr_isids: 1 },
};
export const RAM = {
  plugin: 'ramdisk',
  name: 'ram',
  size: 1 << 20,
  wwn: 'b1',
  alua_tpgs: [],
  attributes: {},
};

const LUNS = [
  {
    index: 0,
    storage_object: '/backstores/fileio/disk',
    alias: '07ada4b602',
    alua_tg_pt_gp_name: 'default_tg_pt_gp',
  },
  {
    index: 5,
    storage_object: '/backstores/ramdisk/ram',
    alias: '17ada4b602',
    alua_tg_pt_gp_name: 'default_tg_pt_gp',
  },
];

export const ACL = {
  node_wwn: CLIENT,
  attributes: { authentication: -1, dataout_timeout: 3 },
  mapped_luns: [{ index: 1, tpg_lun: 5, write_protect: true, alias: '81aa23cf49' }],
  chap_userid: 'user',
  chap_password: 'secret of the client',
  chap_mutual_userid: 'target',
  chap_mutual_password: 'secret of the target',
};

export const TPG = {
  tag: 1,
  enable: true,
  attributes: { authentication: 1, generate_node_acls: 0, demo_mode_write_protect: 1 },
  parameters: { AuthMethod: 'CHAP,None', MaxBurstLength: '262144' },
  luns: LUNS,
  node_acls: [ACL],
  portals: [{ ip_address: '127.0.0.1', port: 3260, iser: false, offload: false }],
};

export const ISCSI = {
  fabric: 'iscsi',
  wwn: IQN,
  parameters: { cmd_completion_affinity: '-1' },
  tpgs: [TPG],
};

export const VHOST = {
  fabric: 'vhost',
  wwn: 'naa.500140512345678a',
  tpgs: [
    {
      tag: 1,
      enable: true,
      luns: LUNS,
      node_acls: [
        {
          node_wwn: 'naa.50014059876543ab',
          mapped_luns: [{ index: 0, tpg_lun: 5, write_protect: true, alias: 'a' }],
        },
      ],
      portals: [],
      attributes: { fabric_prot_type: 0 },
    },
  ],
};

export const SAVECONFIG = {
  fabric_modules: [],
  storage_objects: [FILE, RAM],
  targets: [ISCSI],
};
