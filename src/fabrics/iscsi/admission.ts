/**
 * How many connections there may be, and from whom: in login or for discovery ("strangers"), and in sessions. What
 * comes from one place can use up that place's share only, so that a flood keeps nobody else out.
 */

/** Connections in login or for discovery, of all and of one source. Beyond it the oldest goes: a login takes far less
 * time than a flood. */
const MAX_STRANGERS = 1024;
const MAX_STRANGERS_OF_SOURCE = 128;
/** Connections in sessions. Beyond it nobody else gets in. */
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
  private readonly inSession = new Set<Visitor>();
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
    oldest.breach('too many connections without a session');
  }

  /** A stranger wants to be in a session: false when there is no room. */
  enter(visitor: Visitor): boolean {
    const source = this.sourceOf(visitor);
    if (this.inSession.size >= MAX_MEMBERS || source.members >= MAX_MEMBERS_OF_SOURCE) return false;
    if (source.strangers.delete(visitor)) this.strangers--;
    this.inSession.add(visitor);
    source.members++;
    return true;
  }

  left(visitor: Visitor): void {
    const source = this.sourceOf(visitor);
    if (source.strangers.delete(visitor)) this.strangers--;
    if (this.inSession.delete(visitor)) source.members--;
    if (source.strangers.size === 0 && source.members === 0) this.sources.delete(visitor.source);
  }

  /** Those that are in no session. */
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
