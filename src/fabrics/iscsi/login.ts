/**
 * The login phase of one connection (RFC 7143 section 6): security, then operational negotiation, then full
 * feature. It decides who may come in and with which parameters; the connection sends what it answers.
 */
import { ChapExchange, ChapResult } from './chap.ts';
import { Bhs, LoginFlag, LoginStatus, Stage } from './iscsi-spec.ts';
import {
  defaultParameters,
  MAX_RECEIVE_DATA_SEGMENT,
  OPERATIONAL_KEYS,
  REJECT,
  type SessionParameters,
} from './parameters.ts';
import type { Pdu } from './pdu.ts';
import type { AccessControl, IscsiTarget } from './target-node.ts';
import { formatText, MAX_TEXT_LENGTH, parseText } from './text.ts';

export interface LoginAnswer {
  /** Status class and detail; anything but SUCCESS ends the connection. */
  readonly status: number;
  readonly flags: number;
  readonly text: Buffer;
  /** Set with the last answer: the connection enters the full feature phase. */
  readonly finished: boolean;
}

/** Where login looks up targets and rights; the portal implements it. */
export interface LoginDirectory {
  target(name: string): IscsiTarget | undefined;
  /** Credentials that discovery sessions need; undefined: none. */
  readonly discoveryAccess: AccessControl;
}

const MAX_NAME_LENGTH = 223;
/** Names have no underscore (RFC 3722), but QEMU makes its own from a guest's, and Linux hosts are called that way. */
const NAME = /^(iqn|eui|naa)\.[\p{L}\p{N}.:_-]+$/iu;

/** Login requests of one connection that are still no full feature phase after this many PDUs are given up. */
const MAX_EXCHANGES = 64;

export class LoginPhase {
  readonly parameters: SessionParameters = defaultParameters();
  initiatorName = '';
  initiatorAlias = '';
  discovery = false;
  target: IscsiTarget | undefined = undefined;
  /** ISID as 12 hexadecimal digits. */
  isid = '';
  tsih = 0;
  cid = 0;
  private readonly directory: LoginDirectory;
  private stage: number | undefined = undefined;
  private pending: Buffer = Buffer.alloc(0);
  private exchanges = 0;
  private chap: ChapExchange | undefined = undefined;
  private methodChosen = false;
  private authenticated = false;
  private declared = false;
  private targetDeclared = false;

  constructor(directory: LoginDirectory) {
    this.directory = directory;
  }

  /** Takes one Login Request. Throws IscsiProtocolError for malformed text. */
  handle(pdu: Pdu): LoginAnswer {
    const { header } = pdu;
    const flags = header[Bhs.FLAGS];
    const stage = (flags >> 2) & 3;
    if (++this.exchanges > MAX_EXCHANGES || this.pending.length + pdu.data.length > MAX_TEXT_LENGTH) {
      return failure(LoginStatus.OUT_OF_RESOURCES);
    }
    // Version-min is byte 3: we speak 00h, the only version there is.
    if (header[3] !== 0) return failure(LoginStatus.UNSUPPORTED_VERSION);
    const first = this.stage === undefined;
    if (first) {
      this.isid = header.subarray(Bhs.ISID, Bhs.ISID + 6).toString('hex');
      this.tsih = header.readUInt16BE(Bhs.TSIH);
      this.cid = header.readUInt16BE(Bhs.CID);
      this.stage = stage;
    }
    if (stage !== this.stage || stage > Stage.OPERATIONAL) return failure(LoginStatus.INVALID_DURING_LOGIN);
    this.pending = Buffer.concat([this.pending, pdu.data]);
    if ((flags & LoginFlag.CONTINUE) !== 0) {
      if ((flags & LoginFlag.TRANSIT) !== 0) return failure(LoginStatus.INVALID_DURING_LOGIN);
      return { status: LoginStatus.SUCCESS, flags: stage << 2, text: Buffer.alloc(0), finished: false };
    }
    const keys = parseText(this.pending);
    this.pending = Buffer.alloc(0);
    if (first || this.initiatorName === '') {
      const status = this.identify(keys);
      if (status !== LoginStatus.SUCCESS) return failure(status);
    }
    const nextStage = (flags & LoginFlag.TRANSIT) !== 0 ? flags & 3 : undefined;
    if (nextStage !== undefined && (nextStage <= stage || nextStage === 2)) {
      return failure(LoginStatus.INVALID_DURING_LOGIN);
    }
    return stage === Stage.SECURITY ? this.security(keys, nextStage) : this.operational(keys, nextStage);
  }

  private identify(keys: ReadonlyMap<string, string>): number {
    const name = keys.get('InitiatorName');
    if (name === undefined) return LoginStatus.MISSING_PARAMETER;
    if (name.length > MAX_NAME_LENGTH || !NAME.test(name)) return LoginStatus.INITIATOR_ERROR;
    this.initiatorName = name.toLowerCase();
    this.initiatorAlias = (keys.get('InitiatorAlias') ?? '').slice(0, 255);
    const type = keys.get('SessionType') ?? 'Normal';
    if (type === 'Discovery') this.discovery = true;
    else if (type !== 'Normal') return LoginStatus.SESSION_TYPE_NOT_SUPPORTED;
    if (this.discovery) return LoginStatus.SUCCESS;
    const targetName = keys.get('TargetName');
    if (targetName === undefined) return LoginStatus.MISSING_PARAMETER;
    this.target = this.directory.target(targetName.toLowerCase());
    if (this.target === undefined) return LoginStatus.NOT_FOUND;
    if (!this.target.access.admits(this.initiatorName)) return LoginStatus.AUTHORIZATION_FAILURE;
    return LoginStatus.SUCCESS;
  }

  private get access(): AccessControl {
    return this.target?.access ?? this.directory.discoveryAccess;
  }

  private security(keys: ReadonlyMap<string, string>, nextStage: number | undefined): LoginAnswer {
    const answers = new Map<string, string>();
    const credentials = this.access.credentials(this.initiatorName);
    this.declareTarget(answers);
    const methods = keys.get('AuthMethod')?.split(',');
    if (methods !== undefined) {
      // Every key is negotiated once (RFC 7143 6.2): a second challenge would be another guess.
      if (this.methodChosen) return failure(LoginStatus.INITIATOR_ERROR);
      this.methodChosen = true;
      if (credentials === undefined && methods.includes('None')) {
        answers.set('AuthMethod', 'None');
        this.authenticated = true;
      } else if (credentials !== undefined && methods.includes('CHAP')) {
        answers.set('AuthMethod', 'CHAP');
        this.chap = new ChapExchange(credentials);
      } else return failure(LoginStatus.AUTHENTICATION_FAILURE);
    } else if (credentials !== undefined && this.chap === undefined && nextStage !== undefined) {
      return failure(LoginStatus.AUTHENTICATION_FAILURE);
    }
    if (this.chap !== undefined && keys.has('CHAP_A') !== keys.has('CHAP_R')) {
      const result = this.chap.step(keys, answers);
      if (result === ChapResult.FAILED) return failure(LoginStatus.AUTHENTICATION_FAILURE);
      this.authenticated = result === ChapResult.DONE;
    }
    if (credentials === undefined) this.authenticated = true;
    for (const key of keys.keys()) {
      if (DECLARATIONS.has(key) || CHAP_KEY.test(key)) continue;
      answers.set(key, OPERATIONAL_KEYS.has(key) ? REJECT : 'NotUnderstood');
    }
    return this.answer(Stage.SECURITY, this.authenticated ? nextStage : undefined, answers);
  }

  private operational(keys: ReadonlyMap<string, string>, nextStage: number | undefined): LoginAnswer {
    // Going straight to this stage means AuthMethod None (RFC 7143 6.3.2).
    if (!this.authenticated && this.access.credentials(this.initiatorName) !== undefined) {
      return failure(LoginStatus.AUTHENTICATION_FAILURE);
    }
    const answers = new Map<string, string>();
    this.declareTarget(answers);
    negotiate(keys, this.parameters, answers);
    if (!this.declared) {
      this.declared = true;
      answers.set('MaxRecvDataSegmentLength', String(MAX_RECEIVE_DATA_SEGMENT));
    }
    return this.answer(Stage.OPERATIONAL, nextStage, answers);
  }

  /** TargetPortalGroupTag goes into the first answer of a normal session (RFC 7143 13.9). */
  private declareTarget(answers: Map<string, string>): void {
    if (this.target === undefined || this.targetDeclared) return;
    this.targetDeclared = true;
    if (this.target.alias !== '') answers.set('TargetAlias', this.target.alias);
    answers.set('TargetPortalGroupTag', String(this.target.portalGroupTag));
  }

  private answer(stage: number, nextStage: number | undefined, answers: Map<string, string>): LoginAnswer {
    const text = formatText(answers);
    if (nextStage === undefined)
      return { status: LoginStatus.SUCCESS, flags: stage << 2, text, finished: false };
    this.stage = nextStage;
    const flags = LoginFlag.TRANSIT | (stage << 2) | nextStage;
    return { status: LoginStatus.SUCCESS, flags, text, finished: nextStage === Stage.FULL_FEATURE };
  }
}

/** Applies offered keys; unknown ones are answered NotUnderstood (RFC 7143 6.2). Also for text negotiation. */
export function negotiate(
  keys: ReadonlyMap<string, string>,
  parameters: SessionParameters,
  answers: Map<string, string>,
): void {
  for (const [key, offer] of keys) {
    if (DECLARATIONS.has(key)) continue;
    const rule = OPERATIONAL_KEYS.get(key);
    const answer = rule === undefined ? 'NotUnderstood' : rule(offer, parameters);
    if (answer !== undefined) answers.set(key, answer);
  }
  // Whatever order they were offered in (RFC 7143 13.14).
  parameters.firstBurstLength = Math.min(parameters.firstBurstLength, parameters.maxBurstLength);
  const first = answers.get('FirstBurstLength');
  if (first !== undefined && first !== REJECT)
    answers.set('FirstBurstLength', String(parameters.firstBurstLength));
}

const CHAP_KEY = /^CHAP_[AICNR]$/;

/** Keys that say something and want no answer, and those of the security stage. */
const DECLARATIONS = new Set([
  'InitiatorName',
  'InitiatorAlias',
  'TargetName',
  'SessionType',
  'AuthMethod',
  'TargetAlias',
  'TargetAddress',
]);

function failure(status: number): LoginAnswer {
  return { status, flags: 0, text: Buffer.alloc(0), finished: false };
}
