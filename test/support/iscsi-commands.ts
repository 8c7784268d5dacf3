/** SCSI commands on a session of the bare initiator, and CHAP: what tests above the protocol want to say. */
import { createHash } from 'node:crypto';
import { Bhs, CommandFlag, InitiatorOpcode, TargetOpcode } from '../../src/fabrics/iscsi/iscsi-spec.ts';
import { formatText } from '../../src/fabrics/iscsi/text.ts';
import { u32 } from '../../src/scsi/bytes.ts';
import { decodeLunLevel, encodeLunLevel } from '../../src/scsi/lun-field.ts';
import { IscsiClient } from './iscsi-client.ts';

export interface Command {
  readonly cdb: readonly number[];
  readonly lun?: number;
  /** Bytes; default 0. */
  readonly dataInLength?: number;
  readonly dataOut?: Uint8Array;
}

export interface Answer {
  readonly status: number;
  /** `key/asc/ascq`, hexadecimal; empty without sense data. */
  readonly sense: string;
  readonly data: Buffer;
}

/** Sends one command, its data immediate, and waits for its status; asynchronous messages are passed over. */
export async function execute(client: IscsiClient, command: Command): Promise<Answer> {
  const { cdb, lun = 0, dataInLength = 0, dataOut } = command;
  const flags = 0x80 | (dataInLength > 0 ? CommandFlag.READ : 0) | (dataOut ? CommandFlag.WRITE : 0);
  const header = client.command(cdb, flags, dataOut?.length ?? dataInLength);
  header.writeUInt16BE(encodeLunLevel(lun), Bhs.LUN);
  client.send(header, dataOut);
  const parts: Buffer[] = [];
  for (;;) {
    const pdu = await client.next();
    if (pdu === undefined) throw new Error('the target closed the connection');
    const opcode = pdu.header[Bhs.OPCODE] & 0x3f;
    if (opcode === TargetOpcode.ASYNC_MESSAGE) continue;
    if (opcode === TargetOpcode.DATA_IN) parts.push(Buffer.from(pdu.data));
    else if (opcode !== TargetOpcode.SCSI_RESPONSE) throw new Error(`received PDU ${opcode.toString(16)}h`);
    if (opcode === TargetOpcode.SCSI_RESPONSE || (pdu.header[Bhs.FLAGS] & 1) !== 0) {
      const sense = opcode === TargetOpcode.SCSI_RESPONSE ? senseText(pdu.data.subarray(2)) : '';
      return { status: pdu.header[3], sense, data: Buffer.concat(parts) };
    }
  }
}

/** The LUNs that the session sees, in the order that REPORT LUNS has them. */
export async function reportLuns(client: IscsiClient): Promise<number[]> {
  const { data } = await execute(client, {
    cdb: [0xa0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0],
    dataInLength: 4096,
  });
  const luns: number[] = [];
  for (let at = 8; at < 8 + u32(data, 0); at += 8) luns.push(decodeLunLevel(data[at], data[at + 1]));
  return luns;
}

/** TEST UNIT READY until nothing is left to be told, so that the next command gets an answer of its own. */
export async function settle(client: IscsiClient, lun: number): Promise<void> {
  while ((await execute(client, { cdb: [0, 0, 0, 0, 0, 0], lun })).sense.startsWith('6/'));
}

export interface ChapLogin {
  readonly initiator: string;
  /** Undefined: discovery. */
  readonly target?: string;
  readonly user: string;
  readonly secret: string;
  /** CHAP_A, and what Node calls that hash. */
  readonly algorithm?: readonly [number: string, hash: string];
  /** Further keys of the answer to the challenge. */
  readonly more?: readonly (readonly [string, string])[];
}

/** Logs in with CHAP; resolves with the login status, and the target's keys of the last answer. */
export async function chapLogin(
  client: IscsiClient,
  login: ChapLogin,
): Promise<{ status: number | undefined; keys: ReadonlyMap<string, string> }> {
  const [number, hash] = login.algorithm ?? ['5', 'md5'];
  const send = async (flags: number, keys: readonly (readonly [string, string])[]) => {
    const header = Buffer.alloc(48);
    header[Bhs.OPCODE] = InitiatorOpcode.LOGIN | 0x40;
    header[Bhs.FLAGS] = flags;
    header.writeUIntBE(0x800000_000001, Bhs.ISID, 6);
    header.writeUInt32BE(client.cmdSn, Bhs.CMD_SN);
    client.send(header, formatText(keys));
    const response = await client.next();
    return { status: IscsiClient.status(response), keys: IscsiClient.keys(response) };
  };
  const session: [string, string][] =
    login.target === undefined ? [['SessionType', 'Discovery']] : [['TargetName', login.target]];
  const first = await send(0, [['InitiatorName', login.initiator], ...session, ['AuthMethod', 'CHAP,None']]);
  if (first.status !== 0) return first;
  const { keys, status } = await send(0, [['CHAP_A', number]]);
  if (status !== 0) return { keys, status };
  const response = chapDigest(hash, keys.get('CHAP_I')!, login.secret, keys.get('CHAP_C')!);
  // On to the full feature phase, from the security stage.
  return send(0x83, [['CHAP_N', login.user], ['CHAP_R', response], ...(login.more ?? [])]);
}

/** RFC 1994: what answers `challenge`, both as text of a login. */
export function chapDigest(hash: string, identifier: string, secret: string, challenge: string): string {
  const digest = createHash(hash)
    .update(Uint8Array.of(Number(identifier)))
    .update(secret)
    .update(Buffer.from(challenge.slice(2), 'hex'));
  return `0x${digest.digest('hex')}`;
}

function senseText(sense: Uint8Array): string {
  if (sense.length === 0) return '';
  const [key, asc, ascq] =
    sense[0] === 0x72 ? [sense[1], sense[2], sense[3]] : [sense[2], sense[12], sense[13]];
  return [key & 0xf, asc.toString(16).padStart(2, '0'), ascq.toString(16).padStart(2, '0')].join('/');
}
