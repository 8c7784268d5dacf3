/**
 * Hostile iSCSI initiators: PDUs before, during and after login with wrong lengths, sequence numbers, tags and digests, keys
 * without end, connections that stop in the middle or never read. Each is answered with a Reject or a closed connection,
 * and a well-behaved session beside them notices nothing.
 */
import { Bhs, InitiatorOpcode } from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { IscsiClient } from '../iscsi-client.ts';
import { openPortal, TEST_IQN, type TestPortal } from '../iscsi-portal.ts';
import { Chance } from './chance.ts';

const OPCODES = Object.values(InitiatorOpcode);
const KEYS = [
  'HeaderDigest',
  'DataDigest',
  'MaxConnections',
  'InitialR2T',
  'ImmediateData',
  'MaxRecvDataSegmentLength',
  'MaxBurstLength',
  'FirstBurstLength',
  'DefaultTime2Wait',
  'DefaultTime2Retain',
  'MaxOutstandingR2T',
  'DataPDUInOrder',
  'DataSequenceInOrder',
  'ErrorRecoveryLevel',
  'AuthMethod',
  'CHAP_A',
  'CHAP_N',
  'CHAP_R',
  'SendTargets',
  'TargetName',
  'X-unknown',
];
const VALUES = [
  'Yes',
  'No',
  'None',
  'CRC32C',
  '0',
  '1',
  '512',
  '65536',
  '16777215',
  '4294967296',
  '-1',
  'None,CRC32C',
  '',
  'All',
  '0x',
];
const SEQUENCE_STEPS = [0, 0, 0, 0, 1, -1, 5, 1000, 0x7fff_ffff];
const COLD_RESET = 7;
const READ_10 = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];

export class PduFuzz {
  readonly complaints: string[] = [];
  /** PDUs that were sent. */
  runs = 0;
  private readonly chance: Chance;

  constructor(seed: number) {
    this.chance = new Chance(seed);
  }

  async run(connections: number): Promise<void> {
    const portal = await openPortal();
    portal.core.environment.defect = (error) => {
      this.complaints.push(`a handler threw: ${error instanceof Error ? error.stack : String(error)}`);
    };
    const good = await IscsiClient.open(portal.port);
    await good.login({
      target: TEST_IQN,
      isid: 0x800000_00ffff,
      initiator: 'iqn.2026-01.example.initiator:good',
    });
    await good.ready();
    try {
      for (let i = 0; i < connections && this.complaints.length === 0; i++) {
        await this.connection(portal, i);
        await this.checkGood(good);
      }
      this.complaints.push(...portal.errors);
    } finally {
      good.close();
      await portal.close();
    }
  }

  private async checkGood(good: IscsiClient): Promise<void> {
    // A hostile initiator may reset the unit, which is everybody's news.
    await good.ready();
    good.send(good.command(READ_10, 0xc0, 512));
    const pdu = await good.next();
    if (pdu === undefined) this.complaints.push('the well-behaved session got no answer');
  }

  private async connection({ port }: TestPortal, number: number): Promise<void> {
    const { chance } = this;
    const client = await IscsiClient.open(port);
    try {
      if (chance.oneIn(4)) this.garbage(client);
      else if (chance.oneIn(3)) await this.loginPhase(client);
      else await this.fullFeature(client, number);
      await new Promise(setImmediate);
      // One in eight never reads what it is sent, and one leaves without a word.
      if (chance.oneIn(8)) client.socket.pause();
    } finally {
      client.close();
    }
  }

  private garbage(client: IscsiClient): void {
    client.socket.write(this.chance.bytes(1 + this.chance.below(400)));
    this.runs++;
  }

  private async loginPhase(client: IscsiClient): Promise<void> {
    const { chance } = this;
    for (let i = 1 + chance.below(6); i > 0 && !client.closed; i--) {
      const header = Buffer.alloc(48);
      header[Bhs.OPCODE] = chance.oneIn(10) ? chance.below(256) : InitiatorOpcode.LOGIN | 0x40;
      header[Bhs.FLAGS] = chance.pick([0x87, 0x81, 0x83, 0x00, 0x04, 0x44, 0xc7, chance.below(256)]);
      header[2] = chance.oneIn(10) ? chance.below(256) : 0;
      header.writeUIntBE(0x800000_000000 + chance.below(4), Bhs.ISID, 6);
      if (chance.oneIn(5)) header.writeUInt16BE(chance.below(0x10000), Bhs.TSIH);
      header.writeUInt32BE(chance.below(3), Bhs.CMD_SN);
      this.send(client, header, this.text());
      if (chance.oneIn(2)) await client.next(20);
    }
  }

  /** Lines of a login or text request, some of them without end or sense. */
  private text(): Buffer {
    const { chance } = this;
    const lines = [
      'InitiatorName=iqn.2026-01.example.initiator:bad',
      `TargetName=${TEST_IQN}`,
      'SessionType=Normal',
    ];
    for (let i = chance.below(12); i > 0; i--) lines.push(`${chance.pick(KEYS)}=${chance.pick(VALUES)}`);
    if (chance.oneIn(8)) lines.push(`${'K'.repeat(1 + chance.below(300))}=${'v'.repeat(chance.below(8000))}`);
    if (chance.oneIn(8)) lines.splice(chance.below(lines.length), 1);
    const text = Buffer.from(`${lines.join('\0')}\0`);
    return chance.oneIn(8) ? text.subarray(0, chance.below(text.length)) : text;
  }

  private async fullFeature(client: IscsiClient, number: number): Promise<void> {
    const { chance } = this;
    const digests = chance.oneIn(3);
    const keys: [string, string][] = digests
      ? [
          ['HeaderDigest', 'CRC32C'],
          ['DataDigest', 'CRC32C'],
        ]
      : [];
    const isid = 0x800000_000000 + (number % 7);
    await client.login({ target: TEST_IQN, isid, initiator: 'iqn.2026-01.example.initiator:bad', keys });
    if (digests) client.useDigests();
    for (let i = 1 + chance.below(25); i > 0 && !client.closed; i--) {
      this.send(
        client,
        this.header(client),
        chance.oneIn(3) ? chance.bytes(chance.below(9000)) : new Uint8Array(0),
      );
      if (chance.oneIn(4)) await client.next(5);
    }
  }

  private header(client: IscsiClient): Buffer {
    const { chance } = this;
    const opcode = chance.oneIn(12) ? chance.below(64) : chance.pick(OPCODES);
    const header =
      opcode === InitiatorOpcode.SCSI_COMMAND
        ? client.command(
            [chance.pick([0x00, 0x12, 0x28, 0x2a, 0x5e, 0x5f, 0xa0, chance.below(256)])],
            chance.pick([0xc0, 0xa0, 0x80, 0xe0, 0x20]),
            chance.below(70_000),
          )
        : client.request(opcode, chance.pick([0x80, 0x00, 0x81, chance.below(256)]), chance.oneIn(4));
    header.writeUInt32BE((header.readUInt32BE(Bhs.CMD_SN) + chance.pick(SEQUENCE_STEPS)) >>> 0, Bhs.CMD_SN);
    if (chance.oneIn(6)) header.writeUInt32BE(chance.below(20), Bhs.TASK_TAG);
    if (chance.oneIn(8)) header.set(chance.bytes(4), 4 * (1 + chance.below(11)));
    if (chance.oneIn(20)) header[Bhs.AHS_LENGTH] = chance.below(256);
    return header;
  }

  /** Now and then damaged, cut short, or with a length that is not so. */
  private send(client: IscsiClient, header: Buffer, data: Uint8Array): void {
    const { chance } = this;
    const bytes = client.bytes(header, data);
    if (chance.oneIn(15)) bytes[chance.below(bytes.length)] ^= 1 << chance.below(8);
    if (chance.oneIn(20)) bytes.writeUIntBE(chance.pick([0, 1, 0xff_ffff, 0x80_0000]), Bhs.DATA_LENGTH, 3);
    // TARGET COLD RESET ends everybody's session, by right.
    if ((bytes[0] & 0x3f) === InitiatorOpcode.TASK_MANAGEMENT && (bytes[1] & 0x7f) === COLD_RESET)
      bytes[1] = 0x80;
    client.socket.write(chance.oneIn(20) ? bytes.subarray(0, chance.below(bytes.length)) : bytes);
    this.runs++;
  }
}
