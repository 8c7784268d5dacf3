/**
 * CHAP (RFC 1994 in RFC 7143 12.1.3), one-way and mutual. Challenges are cryptographic random numbers; answers
 * are compared in constant time; fields are bounded before they are decoded.
 */
import { createHash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

import { parseNumber } from './text.ts';

export interface ChapCredentials {
  readonly user: string;
  readonly secret: string;
  /** What we prove to the initiator, when it asks (mutual CHAP). */
  readonly mutualUser?: string;
  readonly mutualSecret?: string;
}

/** CHAP_A numbers (IANA PPP authentication algorithms). */
const ALGORITHMS: ReadonlyMap<string, string> = new Map([
  ['5', 'md5'],
  ['6', 'sha1'],
  ['7', 'sha256'],
  ['8', 'sha3-256'],
]);
/** RFC 7143 12.1.3: at most 1024 bytes. */
const MAX_BINARY_LENGTH = 1024;
const CHALLENGE_LENGTH = 32;

export const ChapResult = { PENDING: 0, DONE: 1, FAILED: 2 } as const;
export type ChapResult = (typeof ChapResult)[keyof typeof ChapResult];

export class ChapExchange {
  private readonly credentials: ChapCredentials;
  private algorithm: string | undefined = undefined;
  private readonly identifier = randomInt(256);
  private readonly challenge = randomBytes(CHALLENGE_LENGTH);

  constructor(credentials: ChapCredentials) {
    this.credentials = credentials;
  }

  /** Takes the initiator's keys, adds ours to `answers`. */
  step(keys: ReadonlyMap<string, string>, answers: Map<string, string>): ChapResult {
    const offered = keys.get('CHAP_A');
    if (offered !== undefined && this.algorithm === undefined) return this.choose(offered, answers);
    const response = keys.get('CHAP_R');
    const name = keys.get('CHAP_N');
    if (response === undefined || name === undefined || this.algorithm === undefined)
      return ChapResult.FAILED;
    if (!this.verify(name, response)) return ChapResult.FAILED;
    const challenge = keys.get('CHAP_C');
    const identifier = keys.get('CHAP_I');
    if (challenge === undefined && identifier === undefined) return ChapResult.DONE;
    return this.prove(identifier, challenge, answers);
  }

  private choose(offered: string, answers: Map<string, string>): ChapResult {
    const choice = offered.split(',').find((item) => ALGORITHMS.has(item));
    if (choice === undefined) return ChapResult.FAILED;
    this.algorithm = ALGORITHMS.get(choice);
    answers.set('CHAP_A', choice);
    answers.set('CHAP_I', String(this.identifier));
    answers.set('CHAP_C', `0x${this.challenge.toString('hex')}`);
    return ChapResult.PENDING;
  }

  private verify(name: string, response: string): boolean {
    const received = decodeBinary(response);
    const expected = this.digest(this.identifier, this.credentials.secret, this.challenge);
    return (
      received !== undefined &&
      received.length === expected.length &&
      timingSafeEqual(received, expected) &&
      name === this.credentials.user
    );
  }

  private prove(
    identifierText: string | undefined,
    challengeText: string | undefined,
    answers: Map<string, string>,
  ): ChapResult {
    const { mutualUser, mutualSecret } = this.credentials;
    const challenge = decodeBinary(challengeText ?? '');
    const identifier = parseNumber(identifierText ?? '', 0, 255);
    if (mutualUser === undefined || mutualSecret === undefined) return ChapResult.FAILED;
    if (challenge === undefined || challenge.length === 0) return ChapResult.FAILED;
    if (identifier === undefined) return ChapResult.FAILED;
    // Our own challenge sent back would make us answer it for the initiator (RFC 7143 9.2.1).
    if (challenge.equals(this.challenge)) return ChapResult.FAILED;
    answers.set('CHAP_N', mutualUser);
    answers.set('CHAP_R', `0x${this.digest(identifier, mutualSecret, challenge).toString('hex')}`);
    return ChapResult.DONE;
  }

  private digest(identifier: number, secret: string, challenge: Buffer): Buffer {
    return createHash(this.algorithm!)
      .update(Uint8Array.of(identifier))
      .update(secret, 'utf8')
      .update(challenge)
      .digest();
  }
}

/** `0x…` or `0b…` (RFC 7143 6.1); undefined when it is neither or is too long. */
function decodeBinary(text: string): Buffer | undefined {
  const body = text.slice(2);
  if (/^0[xX]/.test(text) && /^([0-9a-fA-F]{2})+$/.test(body) && body.length <= 2 * MAX_BINARY_LENGTH) {
    return Buffer.from(body, 'hex');
  }
  if (/^0[bB]/.test(text) && /^[A-Za-z0-9+/]+=*$/.test(body) && body.length <= 2 * MAX_BINARY_LENGTH) {
    return Buffer.from(body, 'base64');
  }
  return undefined;
}
