/** Who may use a target over iSCSI, what they must prove, and which LUNs they see (LIO's node ACLs and demo mode). */
import type { ChapCredentials } from '../fabrics/iscsi/chap.ts';
import type { AccessControl } from '../fabrics/iscsi/target-node.ts';
import { MAX_LUN } from '../scsi/lun-map.ts';
import { UsageError } from './disk-spec.ts';
import type { IscsiAddress } from './iscsi-options.ts';
import type { LunView } from './lun-mask.ts';

/** One initiator's rights to one target. Plain data, as JSON has it. */
export interface IscsiAcl extends LunView {
  /** iSCSI name, lower case. It is a claim of the initiator's: only credentials prove anything. */
  readonly initiator: string;
  /** What this initiator must prove; default: what the target asks of everybody; null: nothing. */
  readonly credentials?: ChapCredentials | null;
}

/** What initiators without an ACL get; `read-only` shows them every LUN, write-protected. */
export type Others = 'refused' | 'read-only' | 'admitted';

/** How one target is to be had over iSCSI. Plain data, as JSON has it. */
export interface IscsiTargetOptions {
  /** `iqn.…`, lower case; default: one of lunport's own, with a number from the second target on. */
  readonly name?: string;
  /** What initiators must prove whose ACL says nothing else; undefined: nothing. */
  readonly credentials?: ChapCredentials;
  /** Those of the server's portals that lead to it; default: all. */
  readonly addresses?: readonly IscsiAddress[];
  readonly acls: readonly IscsiAcl[];
  readonly others: Others;
  /**
   * Lets the others in without any proof even where a portal's address is not a loopback one; without it the server
   * refuses to start so.
   */
  readonly demo: boolean;
}

export class IscsiAccess implements AccessControl {
  private readonly options: IscsiTargetOptions;
  private readonly acls = new Map<string, IscsiAcl>();

  /** Throws UsageError for lists that contradict themselves. */
  constructor(options: IscsiTargetOptions) {
    this.options = options;
    for (const acl of options.acls) {
      const { initiator, luns } = acl;
      if (this.acls.has(initiator)) throw new UsageError(`there are two ACLs for ${initiator}`);
      this.acls.set(initiator, acl);
      const seen = new Set<number>();
      const behind = new Set<number>();
      for (const { lun, targetLun } of luns ?? []) {
        if (!isLun(lun) || !isLun(targetLun))
          throw new UsageError(`ACL of ${initiator}: expected LUNs from 0 to ${MAX_LUN}`);
        if (seen.has(lun)) throw new UsageError(`ACL of ${initiator}: LUN ${lun} is mapped twice`);
        // One disk at two LUNs of one initiator: its reservations and unit attentions would be ambiguous.
        if (behind.has(targetLun))
          throw new UsageError(`ACL of ${initiator}: LUN ${targetLun} of the target is mapped twice`);
        seen.add(lun);
        behind.add(targetLun);
      }
    }
  }

  admits(initiator: string): boolean {
    return this.options.others !== 'refused' || this.acls.has(initiator);
  }

  credentials(initiator: string): ChapCredentials | undefined {
    const own = this.acls.get(initiator)?.credentials;
    return own === undefined ? this.options.credentials : (own ?? undefined);
  }

  /** What an initiator sees; undefined: all of the target as it is. */
  view(initiator: string): LunView | undefined {
    const acl = this.acls.get(initiator);
    if (acl === undefined) return this.options.others === 'read-only' ? { readOnly: true } : undefined;
    return acl.luns === undefined && acl.readOnly !== true ? undefined : acl;
  }

  /** Whether somebody may come in without proving anything and without being named. */
  get open(): boolean {
    return this.options.others !== 'refused' && this.options.credentials === undefined;
  }
}

/**
 * What we prove ourselves with must be nobody's own secret (RFC 7143 9.2.1): an initiator could have us answer the
 * challenge that we gave another. Throws UsageError.
 */
export function refuseSharedSecrets(all: readonly ChapCredentials[]): void {
  const theirs = new Set(all.map(({ secret }) => secret));
  for (const { user, secret, mutualSecret } of all) {
    if (user === '' || secret === '')
      throw new UsageError('CHAP needs a user and a secret that are not empty');
    if (mutualSecret !== undefined && theirs.has(mutualSecret))
      throw new UsageError(`CHAP: what we prove ourselves with to ${user} must be no initiator's secret`);
  }
}

function isLun(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_LUN;
}
