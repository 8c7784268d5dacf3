/** SendTargets (RFC 7143 appendix C): which targets an initiator may use, and where they are. */
import type { Connection } from './connection.ts';

const ALL = 'All';

/**
 * TargetName and TargetAddress pairs; undefined when there is nothing to say. The RFC has `All` for discovery
 * sessions alone, but libiscsi asks it in normal ones, and what it hears there is no secret to it.
 */
export function sendTargets(connection: Connection, wanted: string): [string, string][] | undefined {
  const name = wanted === '' ? connection.session?.target.name : wanted.toLowerCase();
  const pairs: [string, string][] = [];
  for (const [targetName, addresses] of addressesByTarget(connection)) {
    if (wanted !== ALL && targetName !== name) continue;
    pairs.push(['TargetName', targetName]);
    for (const address of addresses) pairs.push(['TargetAddress', address]);
  }
  return pairs.length > 0 || wanted === ALL ? pairs : undefined;
}

/** `ADDRESS:PORT,TAG` by target name; the portal that the initiator uses comes first. */
function addressesByTarget(connection: Connection): Map<string, string[]> {
  const { portal, localHost, initiatorName } = connection;
  const addresses = new Map<string, string[]>();
  for (const one of [portal, ...portal.node.portals.filter((other) => other !== portal)]) {
    const address = one.addressFor(localHost);
    if (address === undefined) continue;
    for (const { name, portalGroupTag, access } of one.allTargets()) {
      if (!access.admits(initiatorName)) continue;
      const known = addresses.get(name) ?? [];
      known.push(`${address},${portalGroupTag}`);
      addresses.set(name, known);
    }
  }
  return addresses;
}
