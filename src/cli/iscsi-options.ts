/** `--iscsi` and its companions on the command line of `lunport serve`. */
import type { Command } from 'commander';
import { UsageError } from '../target/disk-spec.ts';
import {
  checkInitiator,
  checkName,
  type IscsiOptions,
  parseAcl,
  parseAddress,
  parseChap,
} from '../target/iscsi-options.ts';

export interface IscsiCommandOptions {
  readonly iscsi?: string[];
  readonly iqn?: string;
  readonly acl?: string[];
  readonly initiator?: string[];
  readonly chap?: string;
  readonly discoveryChap?: string;
  readonly demoMode?: true;
}

export function withIscsiOptions(command: Command): Command {
  return command
    .option(
      '--iscsi <address[:port]>',
      'serve the same disks over iSCSI as well (port 3260 unless given); repeat for more portals',
      collect,
    )
    .option('--iqn <name>', 'iSCSI name of the target')
    .option(
      '--acl <initiator[,lun=LUN[:TARGET_LUN][:ro]]...[,ro][,chap=...]>',
      'an initiator that may log in, and what it sees: all LUNs unless some are named; ro: write-protected; chap: as --chap, or none; repeat for more',
      collect,
    )
    .option(
      '--initiator <name>',
      'the same with all LUNs; repeat for more (default: any initiator, on loopback)',
      collect,
    )
    .option(
      '--chap <user:secret[:user:secret]>',
      'what initiators must prove; the second pair is for mutual CHAP; @FILE reads it from a file',
    )
    .option('--discovery-chap <user:secret[:user:secret]>', 'what discovery must prove; likewise')
    .option('--demo-mode', 'let any other initiator in too, although the address is not a loopback one');
}

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

/** Throws UsageError. */
export function iscsiOptions(options: IscsiCommandOptions): IscsiOptions | undefined {
  const { iscsi = [], iqn, acl = [], initiator = [], chap, discoveryChap, demoMode } = options;
  if (iscsi.length === 0) {
    if (iqn ?? chap ?? discoveryChap ?? demoMode ?? initiator[0] ?? acl[0])
      throw new UsageError(
        '--iqn, --acl, --initiator, --chap, --discovery-chap and --demo-mode need --iscsi',
      );
    return undefined;
  }
  const acls = [...acl.map(parseAcl), ...initiator.map((name) => ({ initiator: checkInitiator(name) }))];
  return {
    addresses: iscsi.map(parseAddress),
    discoveryCredentials:
      discoveryChap === undefined ? undefined : parseChap('--discovery-chap', discoveryChap),
    target: {
      name: iqn === undefined ? undefined : checkName(iqn),
      credentials: chap === undefined ? undefined : parseChap('--chap', chap),
      acls,
      others: acls.length === 0 || demoMode ? 'admitted' : 'refused',
      demo: demoMode === true,
    },
  };
}
