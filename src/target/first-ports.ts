/**
 * From which number each target counts the RELATIVE TARGET PORT IDENTIFIERs of its ports. Registrations name an I_T
 * nexus by that number, and initiators tell paths to a shared disk apart by it (SPC-4 7.8.5.2.5): a target that has
 * one keeps it, whatever becomes of the others. This file only decides; port-registry.ts remembers.
 */
import { LunportError } from './errors.ts';

/** Between two targets' numbers; more than the ports of one. */
export const PORTS_APART = 0x400;
/** Identifiers have 16 bits. */
const FIRST_PORTS = 0x1_0000 / PORTS_APART;

export interface UnnumberedTarget {
  /** WWN, which is the same after every restart. */
  readonly name: string;
  /** What its disks are called that other targets may have too. */
  readonly disks: readonly string[];
}

/**
 * In the order of `targets`, of which two with a disk in common never get the same. `known`: what is remembered, by
 * name, of targets that are not served now as well. Throws LunportError when too many share a disk.
 */
export function firstPorts(
  targets: readonly UnnumberedTarget[],
  known: ReadonlyMap<string, number>,
): number[] {
  const given = new Map<UnnumberedTarget, number>();
  const isFree = (target: UnnumberedTarget, port: number) =>
    !targets.some((other) => other !== target && given.get(other) === port && shares(target, other));
  const give = (portOf: (target: UnnumberedTarget) => number | undefined) => {
    for (const target of targets) {
      const port = given.has(target) ? undefined : portOf(target);
      if (port !== undefined && isFree(target, port)) given.set(target, port);
    }
  };
  give(({ name }) => known.get(name));
  const users = countUsers([...known.values(), ...given.values()]);
  give((target) => {
    const free = [...users.keys()].filter((port) => isFree(target, port));
    if (free.length === 0) throw tooMany(target);
    // Rarely used, it stays its own when more disks are shared later.
    const port = free.reduce((best, each) => (users.get(each)! < users.get(best)! ? each : best));
    users.set(port, users.get(port)! + 1);
    return port;
  });
  return targets.map((target) => given.get(target)!);
}

function shares(a: UnnumberedTarget, b: UnnumberedTarget): boolean {
  return a.disks.some((disk) => b.disks.includes(disk));
}

/** By number, in ascending order, how many targets have it. */
function countUsers(ports: readonly number[]): Map<number, number> {
  const users = new Map(Array.from({ length: FIRST_PORTS }, (_, i) => [i * PORTS_APART, 0]));
  for (const port of ports) users.set(port, users.get(port)! + 1);
  return users;
}

function tooMany({ name }: UnnumberedTarget): LunportError {
  return new LunportError({
    code: 'too-many-targets',
    object: name,
    message: `${name} shares a disk with ${FIRST_PORTS} other targets, which leaves no numbers for its ports`,
    hint: 'Give one target several sockets instead.',
  });
}
