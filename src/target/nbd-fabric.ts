/** The NBD server of a process: every disk of every target under a name, each with a nexus of its own. */
import { basename, parse } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { type NbdAddress, NbdServer } from '../fabrics/nbd/nbd-server.ts';
import { authenticatesClients, certificateOptions, presharedKeyOptions } from '../fabrics/nbd/tls.ts';
import { Nexus } from '../scsi/nexus.ts';
import { deriveWwn, sasTransportId } from './disk-identity.ts';
import { LunportError } from './errors.ts';
import { isLoopback } from './iscsi-options.ts';
import type { NbdOptions } from './nbd-options.ts';
import type { ServedDisk } from './served-disk.ts';
import type { ServedTarget } from './served-target.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

/** RELATIVE TARGET PORT IDENTIFIER of the NBD port, from the target's first one, far from those that the other fabrics count up from 1. */
const RELATIVE_PORT = 0x100;
/** PROTOCOL IDENTIFIER (SPC-4 table 440): NBD has none; names are NAAs as with the vhost-user port. */
const SAS = 6;

interface Exported {
  readonly target: ServedTarget;
  readonly lun: number;
  readonly name: string;
}

export class NbdFabric {
  private readonly server: NbdServer;
  private readonly options: NbdOptions;
  private readonly tls: TlsOptions | undefined;
  /** TCP port in use. */
  private port = 0;
  /** In the order in which they came. */
  private readonly exported: Exported[] = [];

  private constructor(options: NbdOptions, shard: Shard, log: Log) {
    this.options = options;
    this.tls = tlsOptions(options);
    refuseOpenDoor(options, this.tls);
    this.server = new NbdServer(shard.environment, log, this.tls);
  }

  /** Throws LunportError when the address cannot be had, or when it would let strangers in unasked. */
  static async open(
    targets: readonly ServedTarget[],
    options: NbdOptions,
    shard: Shard,
    log: Log,
  ): Promise<NbdFabric> {
    const fabric = new NbdFabric(options, shard, log);
    try {
      for (const target of targets)
        for (const [lun, disk] of target.disks) await fabric.add(target, lun, disk);
      fabric.port = fabric.server.listen(options.address);
      return fabric;
    } catch (error) {
      await fabric.close();
      throw error;
    }
  }

  /** `nbd://…` or `nbd+unix://…`, one per disk. */
  get uris(): readonly string[] {
    return this.exported.map(({ name }) => this.uri(name));
  }

  urisOf(target: ServedTarget): string[] {
    return this.exported.filter((entry) => entry.target === target).map(({ name }) => this.uri(name));
  }

  /** Exports one more disk, under a name that stays its own. */
  async add(target: ServedTarget, lun: number, disk: ServedDisk): Promise<void> {
    const relativeId = target.firstPort + RELATIVE_PORT;
    const targetPort = { name: deriveWwn(`${target.name} NBD`), relativeId, protocol: SAS };
    const name = freeName(
      disk,
      this.exported.map((entry) => entry.name),
    );
    // Whoever comes to this export at this address is one initiator, today and after a restart.
    const wwn = deriveWwn(`NBD initiator ${addressText(this.options.address)} ${target.name} ${lun}`);
    const port = { name: wwn, transportId: sasTransportId(wwn) };
    const nexus = new Nexus(port, targetPort, target.lunMap);
    await this.server.addExport({ name, description: `LUN ${lun}: ${disk.backstore.name}`, nexus, lun });
    this.exported.push({ target, lun, name });
  }

  /** Takes a disk's export away and hangs up on those who use it. */
  async remove(target: ServedTarget, lun: number): Promise<void> {
    const at = this.exported.findIndex((entry) => entry.target === target && entry.lun === lun);
    if (at < 0) return;
    const [{ name }] = this.exported.splice(at, 1);
    await this.server.removeExport(name);
  }

  close(): Promise<void> {
    return this.server.close();
  }

  private uri(name: string): string {
    return uri(this.options, this.tls !== undefined, this.port, name);
  }
}

/** A file's name without its ending; `ram` or `null`; with a number where that is taken. */
function freeName(disk: ServedDisk, taken: readonly string[]): string {
  const stem = disk.spec.kind === 'file' ? parse(basename(disk.spec.name)).name : disk.spec.kind;
  for (let i = 0; ; i++) {
    const name = i === 0 ? stem : `${stem}-${i}`;
    if (!taken.includes(name)) return name;
  }
}

function tlsOptions({ certificates, keys }: NbdOptions): TlsOptions | undefined {
  try {
    if (keys !== undefined) return presharedKeyOptions(keys);
    return certificates === undefined ? undefined : certificateOptions(certificates);
  } catch (error) {
    throw new LunportError({
      code: 'tls-files',
      object: keys ?? certificates!,
      message: `Cannot use TLS for NBD: ${(error as Error).message}`,
      hint: 'Certificates are server-cert.pem, server-key.pem and ca-cert.pem in one directory; keys are user:key lines.',
      cause: error,
    });
  }
}

/** Writing to disks without saying who one is, is for this machine only unless it is asked for. */
function refuseOpenDoor({ address, open }: NbdOptions, tls: TlsOptions | undefined): void {
  if ('path' in address || isLoopback(address.host) || open) return;
  if (tls !== undefined && authenticatesClients(tls)) return;
  throw new LunportError({
    code: 'open-door',
    object: address.host,
    message: `NBD on ${address.host} would let everybody on that network write to the disks`,
    hint: 'use --nbd-tls with a ca-cert.pem, or --nbd-psk; or say --nbd-open if that is what you want',
  });
}

function addressText(address: NbdAddress): string {
  if ('path' in address) return address.path;
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

/** As the NBD URI specification has it. */
function uri({ address }: NbdOptions, tls: boolean, port: number, name: string): string {
  const scheme = tls ? 'nbds' : 'nbd';
  const path = encodeURIComponent(name);
  if ('path' in address) return `${scheme}+unix:///${path}?socket=${encodeURI(address.path)}`;
  return `${scheme}://${addressText({ host: address.host, port })}/${path}`;
}
