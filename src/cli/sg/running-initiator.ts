/** An initiator on a LUN of a running lunport: commands go through its control socket. */
import type { CommandRequest, CommandResult } from '../../fabrics/loopback/initiator.ts';
import type { Status } from '../../scsi/status-spec.ts';
import type { ControlClient } from '../../target/control-client.ts';
import type { JsonObject } from '../../target/operations/operation.ts';

/** What the operation `execute` answers. */
interface Executed {
  readonly status: Status;
  readonly sense: string;
  readonly dataIn: string;
  readonly transferred: number;
  readonly residual: number;
  readonly aborted: boolean;
}

export class RunningInitiator {
  private readonly client: ControlClient;
  private readonly params: JsonObject;

  /** `params`: target, lun and initiator of every command. */
  constructor(client: ControlClient, params: JsonObject) {
    this.client = client;
    this.params = params;
  }

  /** Throws LunportError when there is nobody who could answer. */
  async send({ cdb, dataOut, dataInLength = 0 }: CommandRequest): Promise<CommandResult> {
    const data: JsonObject =
      dataOut === undefined ? {} : { dataOut: Buffer.from(dataOut).toString('base64') };
    const answer = await this.client.call('execute', {
      ...this.params,
      ...data,
      cdb: Buffer.from(Array.from(cdb)).toString('hex'),
      dataInLength,
    });
    const { sense, dataIn, ...result } = answer as unknown as Executed;
    return { ...result, sense: Buffer.from(sense, 'hex'), dataIn: Buffer.from(dataIn, 'base64') };
  }
}
