/**
 * A SCSI target inside this process, as tcm_loop has one inside the kernel: disks at LUNs 0, 1, … and initiators
 * on them, without any transport. What the public library and `lunport sg` are made of.
 */
import { AsyncBackstore, type UserBackstore } from '../backstores/async-backstore.ts';
import type { OpenBackstore } from '../backstores/open-backstore.ts';
import { Initiator } from '../fabrics/loopback/initiator.ts';
import { Disk } from '../scsi/disk.ts';
import { LunMap } from '../scsi/lun-map.ts';
import { Nexus } from '../scsi/nexus.ts';
import type { TargetPort } from '../scsi/port.ts';
import { WellKnownUnit } from '../scsi/well-known-unit.ts';
import { closeAll } from './close-all.ts';
import { deriveSerial, deriveWwn, diskIdentity, sasTransportId } from './disk-identity.ts';
import { parseDisk } from './disk-spec.ts';
import { attributesOf, closeBackstores, openDisk } from './served-disk.ts';
import { type IoMode, Shard } from './shard.ts';

/** A disk of the user's own making. */
export interface UserDisk {
  /** For messages; the serial number is derived from it unless one is given. */
  readonly name: string;
  readonly backstore: UserBackstore;
  /** Bytes per logical block; default 512. */
  readonly blockSize?: number;
  readonly serial?: string;
}

export interface LocalTargetOptions {
  /** What port names, and serial numbers of disks without a path, are derived from; default `local`. */
  readonly name?: string;
  /** How file I/O waits; default: io_uring where it is allowed. */
  readonly io?: IoMode;
  /** Where reservations and saved mode pages are kept; default: in memory, gone with the process. */
  readonly stateDirectory?: string;
  /** Hears what a user's backstore threw, whose command ended with a medium error; default: a process warning. */
  readonly report?: (error: unknown) => void;
}

/** One disk of a target, by LUN. */
export interface LocalDisk {
  readonly backstore: OpenBackstore;
  readonly unit: Disk;
}

/** RELATIVE TARGET PORT IDENTIFIER of the loopback port. */
const RELATIVE_PORT = 1;
/** Milliseconds; the longest that a timer can be set to. */
const LONG = 2 ** 31 - 1;
/** PROTOCOL IDENTIFIER (SPC-4 table 440): names are NAAs, as tcm_loop has them in its SAS dress. */
const SAS = 6;

/**
 * @example
 * const target = LocalTarget.open(['disk.img', 'ram:64M']);
 * const initiator = target.connect();
 * const { status, dataIn } = await initiator.send({ cdb: [0x12, 0, 0, 0, 96, 0], dataInLength: 96 });
 * await target.close();
 */
export class LocalTarget {
  readonly shard: Shard;
  /** The target port's WWN, `naa.…`. */
  readonly name: string;
  readonly lunMap: LunMap;
  /** By LUN. */
  readonly disks: LocalDisk[] = [];
  private readonly options: LocalTargetOptions;
  private readonly port: TargetPort;
  private readonly initiators = new Set<Initiator>();
  /** A command may wait for nothing but a timer of the core, and those let the process end. */
  private readonly alive = setInterval(() => {}, LONG);

  private constructor(options: LocalTargetOptions) {
    this.options = options;
    this.shard = new Shard(options.io);
    this.name = deriveWwn(`loopback ${options.name ?? 'local'}`);
    this.port = { name: this.name, relativeId: RELATIVE_PORT, protocol: SAS };
    const identity = diskIdentity(deriveSerial(`${this.name} REPORT LUNS`), 'lunport');
    this.lunMap = new LunMap(new WellKnownUnit(this.shard.environment, identity));
  }

  /**
   * Opens every disk, with the locks that `lunport serve` takes, or none. A text is a DISK as on the command
   * line: `disk.img,ro`, `ram:64M`. Throws LunportError, and UsageError for a text that names no disk.
   */
  static open(disks: readonly (string | UserDisk)[], options: LocalTargetOptions = {}): LocalTarget {
    const target = new LocalTarget(options);
    try {
      for (const [lun, disk] of disks.entries()) target.add(lun, disk);
      return target;
    } catch (error) {
      void target.close();
      throw error;
    }
  }

  /** Maps one more disk; initiators that are connected hear of it as a unit attention. Throws as `open` does. */
  add(lun: number, disk: string | UserDisk): void {
    const opened = typeof disk === 'string' ? this.openText(lun, disk) : this.openUser(lun, disk);
    this.disks[lun] = opened;
    this.lunMap.add(lun, opened.unit);
  }

  /**
   * An initiator of its own, with a nexus of its own: reservations tell it from others by `name`, from which its
   * WWN is derived, so the same name is the same initiator after a restart too.
   */
  connect(name = 'initiator'): Initiator {
    const wwn = deriveWwn(`loopback ${this.options.name ?? 'local'} ${name}`);
    const nexus = new Nexus({ name: wwn, transportId: sasTransportId(wwn) }, this.port, this.lunMap);
    const initiator = new Initiator(nexus, this.shard.environment);
    this.initiators.add(initiator);
    return initiator;
  }

  /** Aborts what runs, makes every disk durable and gives it back. Until then the process stays alive. */
  async close(): Promise<void> {
    clearInterval(this.alive);
    await closeAll([
      ...[...this.initiators].map((initiator) => () => initiator.close()),
      // Not every LUN need have a disk.
      ...this.disks.flatMap((disk) => () => closeBackstores(disk)),
      () => this.shard.close(),
    ]);
  }

  private openText(lun: number, text: string): LocalDisk {
    const { stateDirectory } = this.options;
    return openDisk(parseDisk(text), { shard: this.shard, place: `${this.name} LUN ${lun}`, stateDirectory });
  }

  private openUser(lun: number, disk: UserDisk): LocalDisk {
    const { environment } = this.shard;
    const report = this.options.report ?? ((error) => process.emitWarning(error as Error));
    const backstore = new AsyncBackstore(disk.name, disk.backstore, environment.memory, report);
    const serial = disk.serial ?? deriveSerial(`${this.name} LUN ${lun} ${disk.name}`);
    const unit = new Disk(environment, backstore, {
      identity: diskIdentity(serial, 'lunport user'),
      attributes: attributesOf(backstore, disk.blockSize ?? 512),
    });
    return { backstore, unit };
  }
}
