/** One logical unit and one initiator on it for the time of a `lunport sg` command, and what its commands may answer. */
import type { CommandRequest, CommandResult } from '../../fabrics/loopback/initiator.ts';
import { Status } from '../../scsi/status-spec.ts';
import { LunportError } from '../../target/errors.ts';
import { LocalTarget } from '../../target/local-target.ts';
import { connectRunning, type RunningLun, runningLun, targetOf } from '../running.ts';
import { RunningInitiator } from './running-initiator.ts';
import { describeSense } from './sense-text.ts';

const TEST_UNIT_READY = [0x00, 0, 0, 0, 0, 0];
/** As many conditions as can be pending when an initiator is new; each is reported once. */
const MAX_ATTENTIONS = 8;

export interface SessionOptions {
  /** DISK, or SOCKET or SOCKET:LUN of a running lunport. */
  readonly disk: string;
  /** Which initiator to be: reservations tell names apart. */
  readonly initiator: string;
  /** Where the disk's reservations and saved pages are; undefined: it has none. */
  readonly stateDirectory: string | undefined;
}

/** The unit did not do it; the message says what it answered. */
class ScsiFailure extends LunportError {
  readonly status: Status;
  readonly sense: Uint8Array;

  constructor(command: string, disk: string, status: Status, sense: Uint8Array) {
    super({
      code: 'scsi-status',
      object: disk,
      message: `${disk}: ${command}: ${describeStatus(status)}${sense.length > 0 ? `, ${describeSense(sense)}` : ''}`,
    });
    this.status = status;
    this.sense = sense;
  }
}

/** A SCSI initiator, in this process or in the one that serves the disk. */
interface Sender {
  send(request: CommandRequest): Promise<CommandResult>;
}

export class SgSession {
  readonly initiator: Sender;
  private readonly disk: string;

  constructor(initiator: Sender, disk: string) {
    this.initiator = initiator;
    this.disk = disk;
  }

  /**
   * A LUN of a running lunport; or a disk that is opened as `lunport serve` would, locks included, and given back
   * whatever happens.
   */
  static async with<T>(options: SessionOptions, use: (session: SgSession) => Promise<T>): Promise<T> {
    const running = runningLun(options.disk);
    if (running !== undefined) return SgSession.withRunning(running, options, use);
    const target = LocalTarget.open([options.disk], { name: 'sg', stateDirectory: options.stateDirectory });
    try {
      const session = new SgSession(target.connect(options.initiator), options.disk);
      await session.hearAttentions();
      return await use(session);
    } finally {
      await target.close();
    }
  }

  private static async withRunning<T>(
    { socket, lun }: RunningLun,
    { disk, initiator }: SessionOptions,
    use: (session: SgSession) => Promise<T>,
  ): Promise<T> {
    const client = await connectRunning(socket);
    try {
      const params = { ...targetOf(socket), lun, initiator };
      const session = new SgSession(new RunningInitiator(client, params), disk);
      await session.hearAttentions();
      return await use(session);
    } finally {
      client.close();
    }
  }

  /** What a kernel does with a disk that it finds: the news of power-on goes to nobody's command. */
  async hearAttentions(): Promise<void> {
    for (let i = 0; i < MAX_ATTENTIONS; i++) {
      const { status, sense } = await this.initiator.send({ cdb: TEST_UNIT_READY });
      if (status !== Status.CHECK_CONDITION || (sense[2] & 0x0f) !== 6) return;
    }
  }

  /** The data of a command that ends well; throws ScsiFailure otherwise. `name` is the standard's. */
  async run(name: string, request: CommandRequest): Promise<Uint8Array> {
    const { status, sense, dataIn } = await this.initiator.send(request);
    if (status !== Status.GOOD && status !== Status.CONDITION_MET)
      throw new ScsiFailure(name, this.disk, status, sense);
    return dataIn;
  }

  /** As `run`, but undefined where the unit does not know the command or the page (ILLEGAL REQUEST). */
  async runIfSupported(name: string, request: CommandRequest): Promise<Uint8Array | undefined> {
    try {
      return await this.run(name, request);
    } catch (error) {
      if (error instanceof ScsiFailure && (error.sense[2] & 0x0f) === 5) return undefined;
      throw error;
    }
  }
}

export function describeStatus(status: Status): string {
  const [name] = Object.entries(Status).find(([, value]) => value === status) ?? [`STATUS ${status}`];
  return name.replaceAll('_', ' ');
}
