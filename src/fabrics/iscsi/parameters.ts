/**
 * Operational keys and how each is negotiated (RFC 7143 section 13): one row per key. `Yes` and numbers are
 * answered with the result; declarations are only noted.
 */

import { parseNumber } from './text.ts';

export interface SessionParameters {
  /** Bytes per data segment that the initiator takes. */
  maxSendDataSegmentLength: number;
  headerDigest: boolean;
  dataDigest: boolean;
  initialR2T: boolean;
  immediateData: boolean;
  /** Bytes. */
  maxBurstLength: number;
  /** Bytes. */
  firstBurstLength: number;
  maxOutstandingR2T: number;
  maxConnections: number;
  errorRecoveryLevel: number;
  /** Seconds. */
  defaultTime2Wait: number;
  defaultTime2Retain: number;
}

/** Defaults of the RFC, in force until negotiated. */
export function defaultParameters(): SessionParameters {
  return {
    maxSendDataSegmentLength: 8192,
    headerDigest: false,
    dataDigest: false,
    initialR2T: true,
    immediateData: true,
    maxBurstLength: 262144,
    firstBurstLength: 65536,
    maxOutstandingR2T: 1,
    maxConnections: 1,
    errorRecoveryLevel: 0,
    defaultTime2Wait: 2,
    defaultTime2Retain: 20,
  };
}

/** Bytes per data segment that we take; declared at login. */
export const MAX_RECEIVE_DATA_SEGMENT = 262144;
const MAX_SEGMENT = 16777215;

const OURS = {
  maxBurstLength: 1048576,
  firstBurstLength: 262144,
  maxOutstandingR2T: 8,
  maxConnections: 8,
  defaultTime2Wait: 0,
  defaultTime2Retain: 0,
};

/** A key's rule: takes the offer, notes the result, returns the answer; undefined when none is due. */
type Rule = (offer: string, parameters: SessionParameters) => string | undefined;

export const REJECT = 'Reject';
const YES = 'Yes';
const NO = 'No';

function boolean(offer: string): boolean | undefined {
  return offer === YES ? true : offer === NO ? false : undefined;
}

/** The smaller of both sides' numbers. */
function minimum(name: keyof typeof OURS, low: number, high: number): Rule {
  return (offer, parameters) => {
    const value = parseNumber(offer, low, high);
    if (value === undefined) return REJECT;
    parameters[name] = Math.min(value, OURS[name]);
    return String(parameters[name]);
  };
}

/** CRC32C when the initiator lists it before None. */
function digest(name: 'headerDigest' | 'dataDigest'): Rule {
  return (offer, parameters) => {
    const choice = offer.split(',').find((item) => item === 'CRC32C' || item === 'None');
    if (choice === undefined) return REJECT;
    parameters[name] = choice === 'CRC32C';
    return choice;
  };
}

/** Only one value is possible on our side. */
function fixed(answer: string): Rule {
  return (offer) => (boolean(offer) === undefined ? REJECT : answer);
}

const RULES: Readonly<Record<string, Rule>> = {
  HeaderDigest: digest('headerDigest'),
  DataDigest: digest('dataDigest'),
  MaxRecvDataSegmentLength: (offer, parameters) => {
    const value = parseNumber(offer, 512, MAX_SEGMENT);
    if (value === undefined) return REJECT;
    parameters.maxSendDataSegmentLength = value;
    return undefined;
  },
  // OR: unsolicited data only if both sides want it.
  InitialR2T: (offer, parameters) => {
    const value = boolean(offer);
    if (value === undefined) return REJECT;
    parameters.initialR2T = value;
    return value ? YES : NO;
  },
  // AND: we take immediate data.
  ImmediateData: (offer, parameters) => {
    const value = boolean(offer);
    if (value === undefined) return REJECT;
    parameters.immediateData = value;
    return value ? YES : NO;
  },
  MaxBurstLength: minimum('maxBurstLength', 512, MAX_SEGMENT),
  FirstBurstLength: minimum('firstBurstLength', 512, MAX_SEGMENT),
  MaxOutstandingR2T: minimum('maxOutstandingR2T', 1, 65535),
  MaxConnections: minimum('maxConnections', 1, 65535),
  DefaultTime2Wait: (offer, parameters) => {
    const value = parseNumber(offer, 0, 3600);
    if (value === undefined) return REJECT;
    parameters.defaultTime2Wait = Math.max(value, OURS.defaultTime2Wait);
    return String(parameters.defaultTime2Wait);
  },
  DefaultTime2Retain: minimum('defaultTime2Retain', 0, 3600),
  DataPDUInOrder: fixed(YES),
  DataSequenceInOrder: fixed(YES),
  ErrorRecoveryLevel: (offer) => (parseNumber(offer, 0, 2) === undefined ? REJECT : '0'),
  IFMarker: fixed(NO),
  OFMarker: fixed(NO),
  IFMarkInt: () => REJECT,
  OFMarkInt: () => REJECT,
  TaskReporting: (offer) => (offer.split(',').includes('RFC3720') ? 'RFC3720' : REJECT),
  // RFC 7144's level 2 is not offered: its functions are understood, its priorities and status qualifiers are not.
  iSCSIProtocolLevel: (offer) => {
    const value = parseNumber(offer, 0, 31);
    return value === undefined ? REJECT : String(Math.min(value, 1));
  },
};

/** By key: a Map, since an initiator may well ask for `constructor`. */
export const OPERATIONAL_KEYS: ReadonlyMap<string, Rule> = new Map(Object.entries(RULES));
