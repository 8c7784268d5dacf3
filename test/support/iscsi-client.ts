/**
 * A bare iSCSI initiator for tests: logs in, then sends whatever bytes a test wants. It checks nothing, so that
 * wrong PDUs are as easy to send as right ones.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { crc32c } from '../../src/fabrics/iscsi/crc32c.ts';
import { Bhs, InitiatorOpcode } from '../../src/fabrics/iscsi/iscsi-spec.ts';
import type { Pdu } from '../../src/fabrics/iscsi/pdu.ts';
import { PduReceiver } from '../../src/fabrics/iscsi/pdu-receiver.ts';
import { formatText, parseText } from '../../src/fabrics/iscsi/text.ts';

export interface LoginOptions {
  readonly initiator?: string;
  readonly target?: string;
  readonly isid?: number;
  readonly tsih?: number;
  readonly cid?: number;
  readonly keys?: readonly (readonly [string, string])[];
  /** T, C, CSG and NSG; default: on from the operational stage to the full feature phase. */
  readonly flags?: number;
}

export class IscsiClient {
  readonly socket: Socket;
  cmdSn = 1;
  expStatSn = 0;
  /** Whether PDUs carry digests, both ways. */
  digests = false;
  private taskTag = 1;
  private readonly received: Pdu[] = [];
  private readonly receiver = new PduReceiver(
    { maxDataLength: 1 << 24, headerDigest: false, dataDigest: false },
    { deliver: (pdu) => this.received.push(pdu.copy()), place: () => {} },
  );
  private waiting: ((pdu: Pdu | undefined) => void) | undefined = undefined;
  private ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.receiver.feed(chunk, 0, chunk.length);
      this.wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  /** `from`: the address on this machine to come from, for an IPv4 portal. */
  static open(port: number, host = '127.0.0.1', from?: string): Promise<IscsiClient> {
    return IscsiClient.connected(connect({ port, host, localAddress: from }));
  }

  static openUnix(path: string): Promise<IscsiClient> {
    return IscsiClient.connected(connect(path));
  }

  private static async connected(socket: Socket): Promise<IscsiClient> {
    await once(socket, 'connect');
    return new IscsiClient(socket);
  }

  /** The next PDU from the target; undefined when the connection is closed, or nothing comes in time. */
  async next(milliseconds = 15_000): Promise<Pdu | undefined> {
    if (this.received.length === 0 && !this.ended) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        this.waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.waiting = undefined;
    }
    const pdu = this.received.shift();
    if (pdu !== undefined) this.expStatSn = (pdu.header.readUInt32BE(Bhs.STAT_SN) + 1) >>> 0;
    return pdu;
  }

  get closed(): boolean {
    return this.ended;
  }

  nextTag(): number {
    return this.taskTag++;
  }

  send(header: Buffer, data: Uint8Array = new Uint8Array(0)): void {
    this.socket.write(this.bytes(header, data));
  }

  /** The whole PDU as it goes onto the wire, for tests that damage or cut it. */
  bytes(header: Buffer, data: Uint8Array = new Uint8Array(0)): Buffer {
    header.writeUIntBE(data.length, Bhs.DATA_LENGTH, 3);
    const padded = Buffer.concat([data, Buffer.alloc(-data.length & 3)]);
    if (!this.digests) return Buffer.concat([header, padded]);
    return Buffer.concat([header, digest(header), padded, padded.length > 0 ? digest(padded) : padded]);
  }

  /** Both digests from now on; they must have been agreed on at login. */
  useDigests(): void {
    this.digests = true;
    this.receiver.limits.headerDigest = true;
    this.receiver.limits.dataDigest = true;
  }

  /** A request header with task tag, CmdSN and ExpStatSN; not immediate, so CmdSN moves on. */
  request(opcode: number, flags: number, immediate = false): Buffer {
    const header = Buffer.alloc(48);
    header[Bhs.OPCODE] = opcode | (immediate ? 0x40 : 0);
    header[Bhs.FLAGS] = flags;
    header.writeUInt32BE(this.nextTag(), Bhs.TASK_TAG);
    header.writeUInt32BE(this.cmdSn, Bhs.CMD_SN);
    header.writeUInt32BE(this.expStatSn, Bhs.EXP_STAT_SN);
    if (!immediate) this.cmdSn = (this.cmdSn + 1) >>> 0;
    return header;
  }

  /** Operational login in one exchange; resolves with the response. */
  async login(options: LoginOptions = {}): Promise<Pdu | undefined> {
    const header = Buffer.alloc(48);
    header[Bhs.OPCODE] = InitiatorOpcode.LOGIN | 0x40;
    header[Bhs.FLAGS] = options.flags ?? 0x87;
    header.writeUIntBE(options.isid ?? 0x800000_000001, Bhs.ISID, 6);
    header.writeUInt16BE(options.tsih ?? 0, Bhs.TSIH);
    header.writeUInt16BE(options.cid ?? 0, Bhs.CID);
    header.writeUInt32BE(this.cmdSn, Bhs.CMD_SN);
    const names: [string, string][] = [
      ['InitiatorName', options.initiator ?? 'iqn.2026-01.example.initiator:a'],
    ];
    if (options.target === undefined) names.push(['SessionType', 'Discovery']);
    else names.push(['SessionType', 'Normal'], ['TargetName', options.target]);
    this.send(header, formatText([...names, ...(options.keys ?? [])]));
    return this.next();
  }

  /** Login status of a response: class in the high byte. */
  static status(pdu: Pdu | undefined): number | undefined {
    return pdu?.header.readUInt16BE(36);
  }

  static keys(pdu: Pdu | undefined): Map<string, string> {
    return parseText(pdu?.data ?? new Uint8Array(0));
  }

  /** TEST UNIT READY until it is GOOD; resolves with how many unit attentions there were. */
  async ready(): Promise<number> {
    for (let attentions = 0; ; attentions++) {
      this.send(this.command([0, 0, 0, 0, 0, 0], 0x80, 0));
      if ((await this.next())?.header[3] === 0 || attentions === 10) return attentions;
    }
  }

  /** A SCSI Command header. */
  command(cdb: readonly number[], flags: number, expectedLength: number): Buffer {
    const header = this.request(InitiatorOpcode.SCSI_COMMAND, flags | 0x01);
    header.writeUInt32BE(expectedLength, Bhs.EXPECTED_LENGTH);
    Buffer.from(cdb).copy(header, Bhs.CDB);
    return header;
  }

  dataOut(taskTag: number, transferTag: number, dataSn: number, offset: number, final: boolean): Buffer {
    const header = Buffer.alloc(48);
    header[Bhs.OPCODE] = InitiatorOpcode.DATA_OUT;
    header[Bhs.FLAGS] = final ? 0x80 : 0;
    header.writeUInt32BE(taskTag, Bhs.TASK_TAG);
    header.writeUInt32BE(transferTag, Bhs.TRANSFER_TAG);
    header.writeUInt32BE(dataSn, Bhs.DATA_SN);
    header.writeUInt32BE(offset, Bhs.BUFFER_OFFSET);
    return header;
  }

  close(): void {
    this.socket.destroy();
  }

  private wake(): void {
    this.waiting?.(undefined);
  }
}

function digest(bytes: Uint8Array): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(crc32c(bytes));
  return out;
}
