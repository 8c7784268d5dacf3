/**
 * Attributes of a logical unit under LIO's names (rtslib's `attributes`), with our defaults: LIO's where they
 * mean something, but a feature that works is on.
 */
export interface DeviceAttributes {
  /** Bytes per logical block: 512, 1024, 2048 or 4096. */
  readonly block_size: number;
  /** 1: the unit has a volatile write cache (WCE). */
  readonly emulate_write_cache: number;
  readonly emulate_fua_write: number;
  readonly emulate_fua_read: number;
  readonly emulate_dpo: number;
  /** 1: UNMAP is offered. */
  readonly emulate_tpu: number;
  /** 1: WRITE SAME with UNMAP is offered. */
  readonly emulate_tpws: number;
  readonly emulate_caw: number;
  readonly emulate_3pc: number;
  readonly emulate_pr: number;
  readonly emulate_rsoc: number;
  /** Task aborted status, TAS of the Control mode page. */
  readonly emulate_tas: number;
  readonly emulate_ua_intlck_ctrl: number;
  readonly emulate_rest_reord: number;
  readonly emulate_model_alias: number;
  /** 1: non-rotating medium (VPD B1). */
  readonly is_nonrot: number;
  /** OPTIMAL TRANSFER LENGTH, logical blocks. */
  readonly optimal_sectors: number;
  readonly queue_depth: number;
  readonly max_unmap_lba_count: number;
  readonly max_unmap_block_desc_count: number;
  readonly unmap_granularity: number;
  readonly unmap_granularity_alignment: number;
  /** LBPRZ. */
  readonly unmap_zeroes_data: number;
  /** Logical blocks per WRITE SAME; 0: no limit. */
  readonly max_write_same_len: number;
  /** ATOMIC ALIGNMENT and ATOMIC TRANSFER LENGTH GRANULARITY, logical blocks; 0: none. */
  readonly atomic_alignment: number;
  readonly atomic_granularity: number;
  /** Protection type, 0 to 3. */
  readonly pi_prot_type: number;
  readonly alua_support: number;
  readonly pgr_support: number;
  readonly force_pr_aptpl: number;
}

export const DEFAULT_ATTRIBUTES: DeviceAttributes = {
  block_size: 512,
  emulate_write_cache: 1,
  emulate_fua_write: 1,
  emulate_fua_read: 1,
  emulate_dpo: 1,
  emulate_tpu: 1,
  emulate_tpws: 1,
  emulate_caw: 1,
  emulate_3pc: 1,
  emulate_pr: 1,
  emulate_rsoc: 1,
  emulate_tas: 1,
  emulate_ua_intlck_ctrl: 0,
  emulate_rest_reord: 0,
  emulate_model_alias: 1,
  is_nonrot: 1,
  optimal_sectors: 16384,
  queue_depth: 128,
  // libiscsi's Inquiry.BlockLimits calls more than this "insanely big".
  max_unmap_lba_count: 0x10_0000,
  max_unmap_block_desc_count: 256,
  unmap_granularity: 1,
  unmap_granularity_alignment: 0,
  unmap_zeroes_data: 1,
  max_write_same_len: 0x40_0000,
  atomic_alignment: 0,
  atomic_granularity: 0,
  pi_prot_type: 0,
  alua_support: 1,
  pgr_support: 1,
  force_pr_aptpl: 0,
};
