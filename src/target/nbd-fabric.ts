/** The NBD server of a process: every disk of every target under a name, each with a nexus of its own. */
import { basename, parse } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { type NbdAddress, NbdServer } from '../fabrics/nbd/nbd-server.ts';
import { authenticatesClients, certificateOptions, presharedKeyOptions } from '../fabrics/nbd/tls.ts';
import { fromNodeError } from '../native/errno.ts';
import { Nexus } from '../scsi/nexus.ts';
import { deriveWwn, sasTransportId } from './disk-identity.ts';
import { LunportError } from './errors.ts';
import { isLoopback } from './iscsi-options.ts';
import type { NbdOptions } from './nbd-options.ts';
import type { ServedDisk } from './served-disk.ts';
import type { ServedTarget } from './served-target.ts';
import type { Log } from './server.ts';
import type { Shard } from './shard.ts';

/** RELATIVE TARGET PORT IDENTIFIER of the NBD port, far from those that the other fabrics count up from 1. */
const RELATIVE_PORT = 0x100;
/** PROTOCOL IDENTIFIER (SPC-4 table 440): NBD has none; names are NAAs as with the vhost-user port. */
const SAS = 6;

export class NbdFabric {
  /** `nbd://…` or `nbd+unix://…`, one per disk in the order of targets and LUNs. */
  readonly uris: readonly string[];
  private readonly server: NbdServer;

  private constructor(server: NbdServer, uris: readonly string[]) {
    this.server = server;
    this.uris = uris;
  }

  /** Throws LunportError when the address cannot be had, or when it would let strangers in unasked. */
  static async open(
    targets: readonly ServedTarget[],
    options: NbdOptions,
    shard: Shard,
    log: Log,
  ): Promise<NbdFabric> {
    const tls = tlsOptions(options);
    refuseOpenDoor(options, tls);
    const server = new NbdServer(shard.environment, log, tls);
    try {
      const names = await addExports(server, targets, addressText(options.address));
      const port = await listen(server, options.address);
      return new NbdFabric(
        server,
        names.map((name) => uri(options, tls !== undefined, port, name)),
      );
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.server.close();
  }
}

async function addExports(
  server: NbdServer,
  targets: readonly ServedTarget[],
  place: string,
): Promise<string[]> {
  const names: string[] = [];
  for (const target of targets) {
    const targetPort = { name: deriveWwn(`${target.name} NBD`), relativeId: RELATIVE_PORT, protocol: SAS };
    for (const [lun, disk] of target.disks.entries()) {
      const name = freeName(disk, names);
      names.push(name);
      // Whoever comes to this export at this address is one initiator, today and after a restart.
      const wwn = deriveWwn(`NBD initiator ${place} ${target.name} ${lun}`);
      const port = { name: wwn, transportId: sasTransportId(wwn) };
      const nexus = new Nexus(port, targetPort, target.lunMap);
      await server.addExport({ name, description: `LUN ${lun}: ${disk.backstore.name}`, nexus, lun });
    }
  }
  return names;
}

/** A file's name without its ending; `ram` or `null`; with a number where that is taken. */
function freeName(disk: ServedDisk, taken: readonly string[]): string {
  const stem = disk.spec.kind === 'file' ? parse(basename(disk.spec.name)).name : disk.spec.kind;
  for (let i = 0; ; i++) {
    const name = i === 0 ? stem : `${stem}-${i}`;
    if (!taken.includes(name)) return name;
  }
}

async function listen(server: NbdServer, address: NbdAddress): Promise<number> {
  try {
    return await server.listen(address);
  } catch (error) {
    throw fromNodeError(error, 'listen for NBD on', addressText(address));
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
