/** Several shards as one host: targets are placed, and what they answer is put together. */
import { UsageError } from '../disk-spec.ts';
import { type AddedDisk, add, specOf } from '../operations/disks.ts';
import { type Json, Scope } from '../operations/operation.ts';
import { findOperation, OPERATIONS } from '../operations/table.ts';
import { findTarget } from '../operations/target-of.ts';
import { awaitDisk } from '../served-disk.ts';
import { type ServerOptions, servedTwice, type TargetSpec } from '../server.ts';
import type { ServerDescription, TargetDescription } from '../server-description.ts';
import { LocalHost, type ServerHost } from '../server-host.ts';
import { placeTargets, realPath } from './placement.ts';
import { WorkerHost } from './worker-host.ts';

/**
 * `shards`: worker threads, or 0 for this one. Throws LunportError, and UsageError for what cannot be served by
 * several shards; nothing stays open then.
 */
export async function openHost(
  specs: readonly TargetSpec[],
  options: ServerOptions,
  shards: number,
): Promise<ServerHost> {
  if (shards === 0) return LocalHost.open(specs, options);
  refuseSplitPortal(specs, options, shards);
  return ShardedHost.open(specs, options, shards);
}

/** Whoever comes to a portal may ask for every target, so all of them must be where the portal is. */
function refuseSplitPortal(specs: readonly TargetSpec[], options: ServerOptions, shards: number): void {
  const portal = options.iscsi !== undefined ? '--iscsi' : options.nbd !== undefined ? '--nbd' : undefined;
  if (portal === undefined || shards === 1 || specs.length === 1) return;
  throw new UsageError(
    `--shards ${shards}: ${portal} leads to all ${specs.length} targets, so that one shard must serve them: ` +
      'say --shards 1, or start a lunport for each target',
  );
}

class ShardedHost implements ServerHost {
  readonly died: Promise<Error>;
  private readonly shards: readonly ServerHost[];
  /** The targets' first sockets, in the order that the user gave. */
  private readonly order: readonly string[];

  private constructor(shards: readonly ServerHost[], order: readonly string[]) {
    this.shards = shards;
    this.order = order;
    this.died = Promise.race(shards.map((shard) => shard.died));
  }

  static async open(
    specs: readonly TargetSpec[],
    options: ServerOptions,
    count: number,
  ): Promise<ServerHost> {
    const placed = placeTargets(specs, count);
    const opened = await Promise.allSettled(
      Array.from({ length: count }, (_, shard) => {
        const own = specs.filter((_, i) => placed[i] === shard);
        // Fabrics beside vhost-user lead to all targets, and so to the one shard that has them.
        const fabrics = own.length === 0 ? { iscsi: undefined, nbd: undefined } : {};
        return WorkerHost.open(`shard ${shard}`, own, { ...options, ...fabrics });
      }),
    );
    const shards = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const host = new ShardedHost(
      shards,
      specs.map(({ sockets }) => sockets[0].path),
    );
    const failure = opened.find((result) => result.status === 'rejected');
    if (failure === undefined) return host;
    await host.close();
    throw failure.reason;
  }

  async describe(): Promise<ServerDescription> {
    const parts = await Promise.all(this.shards.map((shard) => shard.describe()));
    const targets = parts.flatMap((part, shard) => part.targets.map((target) => ({ ...target, shard })));
    const position = ({ sockets }: TargetDescription) => this.order.indexOf(sockets[0].path);
    return {
      targets: targets.sort((a, b) => position(a) - position(b)),
      iscsi: parts.flatMap(({ iscsi }) => iscsi),
      nbd: parts.flatMap(({ nbd }) => nbd),
    };
  }

  /** An operation on a target goes to its shard, one on everything to all of them. */
  async call(name: string, params: unknown): Promise<Json> {
    const { scope, merge } = findOperation(OPERATIONS, name);
    if (scope === Scope.ALL)
      return merge(await Promise.all(this.shards.map((shard) => shard.call(name, params))));
    const shard = await this.shardOf(params);
    if (name === 'add') await this.refuseElsewhere(shard, params);
    return this.shards[shard].call(name, params);
  }

  /** What the server of `shard` refuses to have twice (`share`), the others must not have either. */
  private async refuseElsewhere(shard: number, params: unknown): Promise<void> {
    const checked = add.schema.safeParse(params);
    if (!checked.success) return;
    const { kind, name, share } = specOf(checked.data as AddedDisk);
    if (kind !== 'file' || !share) return;
    await awaitDisk({ kind, name });
    const path = realPath(name);
    for (const target of (await this.describe()).targets) {
      if (target.shard === shard || !target.luns.some((lun) => lun.path === path)) continue;
      throw servedTwice(name, target.sockets[0].path);
    }
  }

  /** Where the target is that the parameters name. Throws LunportError. */
  private async shardOf(params: unknown): Promise<number> {
    const named = (params as { readonly target?: unknown } | undefined)?.target;
    const { targets } = await this.describe();
    return findTarget(targets, named).shard!;
  }

  /** All at once: one that takes long to make its disks durable holds up no other. */
  async close(): Promise<void> {
    const closed = await Promise.allSettled(this.shards.map((shard) => shard.close()));
    const failure = closed.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }
}
