/**
 * How many connections a fabric on a network takes, and from whom: those of strangers, who are still to say what they
 * want (an iSCSI login or discovery, NBD's options), and those of members, who got through. What comes from one place can
 * use up that place's share only, so that a flood keeps nobody else out.
 */

/** Of all and of one source. Beyond it the oldest goes: to say what one wants takes far less time than a flood. */
const MAX_STRANGERS = 1024;
const MAX_STRANGERS_OF_SOURCE = 128;
/** Beyond it nobody else gets in. */
const MAX_MEMBERS = 4096;
const MAX_MEMBERS_OF_SOURCE = 1024;
/** 16-bit groups of an IPv6 address that are somebody's own network: all addresses of it are one source. */
const PREFIX_GROUPS = 4;
const IPV6_GROUPS = 8;

export interface Visitor {
  /** See `sourceOf`. */
  readonly source: string;
  close(reason: string): void;
  /** The same, and an operator may hear of it. */
  breach(reason: string): void;
}

interface Source {
  /** In order of arrival. */
  readonly strangers: Set<Visitor>;
  members: number;
}

export class Admission {
  private readonly sources = new Map<string, Source>();
  private readonly members = new Set<Visitor>();
  private strangers = 0;

  /** Somebody connected. The oldest stranger of the source goes when there are too many, or of the source with most. */
  arrived(visitor: Visitor): void {
    const source = this.sourceOf(visitor);
    source.strangers.add(visitor);
    this.strangers++;
    const crowded =
      source.strangers.size > MAX_STRANGERS_OF_SOURCE
        ? source
        : this.strangers > MAX_STRANGERS
          ? this.mostCrowded()
          : undefined;
    if (crowded === undefined) return;
    const [oldest] = crowded.strangers;
    oldest.breach('too many connections that have not got through yet');
  }

  /** A stranger wants to become a member: false when there is no room. */
  enter(visitor: Visitor): boolean {
    const source = this.sourceOf(visitor);
    if (this.members.size >= MAX_MEMBERS || source.members >= MAX_MEMBERS_OF_SOURCE) return false;
    if (source.strangers.delete(visitor)) this.strangers--;
    this.members.add(visitor);
    source.members++;
    return true;
  }

  left(visitor: Visitor): void {
    const source = this.sourceOf(visitor);
    if (source.strangers.delete(visitor)) this.strangers--;
    if (this.members.delete(visitor)) source.members--;
    if (source.strangers.size === 0 && source.members === 0) this.sources.delete(visitor.source);
  }

  allStrangers(): Visitor[] {
    return [...this.sources.values()].flatMap(({ strangers }) => [...strangers]);
  }

  private sourceOf(visitor: Visitor): Source {
    let source = this.sources.get(visitor.source);
    if (source === undefined) {
      source = { strangers: new Set(), members: 0 };
      this.sources.set(visitor.source, source);
    }
    return source;
  }

  private mostCrowded(): Source | undefined {
    let most: Source | undefined;
    for (const source of this.sources.values())
      if (most === undefined || source.strangers.size > most.strangers.size) most = source;
    return most;
  }
}

/** What counts as one place: an IPv4 address, the /64 network of an IPv6 address, or this machine's Unix sockets. */
export function sourceOf(host: string | undefined): string {
  if (host === undefined) return 'local';
  if (!host.includes(':')) return host;
  const [head, tail] = host.replace(/%.*$/, '').split('::');
  const groups = head === '' ? [] : head.split(':');
  const behind = tail === undefined || tail === '' ? 0 : tail.split(':').length;
  while (tail !== undefined && groups.length < IPV6_GROUPS - behind) groups.push('0');
  if (tail) groups.push(...tail.split(':'));
  return `${groups.slice(0, PREFIX_GROUPS).join(':')}::/64`;
}
