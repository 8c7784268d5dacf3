/** `lunport sg persist`: PERSISTENT RESERVE IN and OUT (SPC-4 6.15, 6.16) with sg_persist's options. */
import { fromHex } from '../../scsi/bytes.ts';
import {
  BasicFlag,
  BasicList,
  InAction,
  isReservationType,
  OutAction,
} from '../../scsi/reservations/persistent-reservation-spec.ts';
import { UsageError } from '../../target/disk-spec.ts';
import * as cdbs from './cdbs.ts';
import type { Decoded } from './decoded.ts';
import { decodeCapabilities, decodeFullStatus, decodeKeys, decodeReservation } from './reservations.ts';
import type { SgSession } from './session.ts';

export interface PersistOptions {
  readonly readKeys?: true;
  readonly readReservation?: true;
  readonly reportCapabilities?: true;
  readonly readFullStatus?: true;
  readonly register?: true;
  readonly registerIgnore?: true;
  readonly reserve?: true;
  readonly release?: true;
  readonly clear?: true;
  readonly preempt?: true;
  readonly preemptAbort?: true;
  readonly paramRk: string;
  readonly paramSark: string;
  readonly proutType: string;
  readonly paramAptpl?: true;
  readonly paramAlltgpt?: true;
}

const ALLOCATION_LENGTH = 0x8000;

const READS = {
  readKeys: [InAction.READ_KEYS, decodeKeys],
  readReservation: [InAction.READ_RESERVATION, decodeReservation],
  reportCapabilities: [InAction.REPORT_CAPABILITIES, decodeCapabilities],
  readFullStatus: [InAction.READ_FULL_STATUS, decodeFullStatus],
} as const;

/** Service actions, and whether the type counts. */
const WRITES = {
  register: [OutAction.REGISTER, false],
  registerIgnore: [OutAction.REGISTER_AND_IGNORE_EXISTING_KEY, false],
  reserve: [OutAction.RESERVE, true],
  release: [OutAction.RELEASE, true],
  clear: [OutAction.CLEAR, false],
  preempt: [OutAction.PREEMPT, true],
  preemptAbort: [OutAction.PREEMPT_AND_ABORT, true],
} as const;

type ReadName = keyof typeof READS;
type WriteName = keyof typeof WRITES;

/** What `options` ask for, checked before any disk is opened. Throws UsageError. */
export function persist(options: PersistOptions): (session: SgSession) => Promise<Decoded | undefined> {
  const reads = (Object.keys(READS) as ReadName[]).filter((name) => options[name]);
  const writes = (Object.keys(WRITES) as WriteName[]).filter((name) => options[name]);
  if (writes.length > 1 || (writes.length === 1 && reads.length > 0)) {
    throw new UsageError('expected one action at a time');
  }
  if (writes.length === 1) return reserveOut(writes[0], options);
  const wanted: ReadName[] = reads.length > 0 ? reads : ['readKeys', 'readReservation'];
  return async (session) => {
    let decoded: Decoded = {};
    for (const name of wanted) decoded = { ...decoded, ...(await reserveIn(session, name)) };
    return decoded;
  };
}

async function reserveIn(session: SgSession, name: ReadName): Promise<Decoded> {
  const [action, decode] = READS[name];
  const cdb = cdbs.persistentReserveIn(action, ALLOCATION_LENGTH);
  return decode(await session.run('PERSISTENT RESERVE IN', { cdb, dataInLength: ALLOCATION_LENGTH }));
}

function reserveOut(name: WriteName, options: PersistOptions): (session: SgSession) => Promise<undefined> {
  const [action, hasType] = WRITES[name];
  const type = Number(options.proutType);
  if (hasType && !isReservationType(type)) {
    throw new UsageError(`--prout-type: expected 1, 3, 5, 6, 7 or 8 but received "${options.proutType}"`);
  }
  const list = new Uint8Array(BasicList.LENGTH);
  list.set(parseKey('--param-rk', options.paramRk), BasicList.RESERVATION_KEY);
  list.set(parseKey('--param-sark', options.paramSark), BasicList.SERVICE_ACTION_RESERVATION_KEY);
  list[BasicList.FLAGS] =
    (options.paramAptpl ? BasicFlag.APTPL : 0) | (options.paramAlltgpt ? BasicFlag.ALL_TG_PT : 0);
  const cdb = cdbs.persistentReserveOut(action, hasType ? type : 0, list.length);
  return async (session) => {
    await session.run('PERSISTENT RESERVE OUT', { cdb, dataOut: list });
  };
}

/** 64 bits, hexadecimal with or without 0x. Throws UsageError. */
function parseKey(option: string, text: string): Uint8Array {
  const digits = text.replace(/^0x/i, '');
  if (!/^[0-9a-f]{1,16}$/i.test(digits)) {
    throw new UsageError(`${option}: expected up to 16 hexadecimal digits but received "${text}"`);
  }
  return fromHex(digits.padStart(16, '0'));
}
