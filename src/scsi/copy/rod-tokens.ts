/**
 * The ROD tokens of one logical unit: names for the content of some of its blocks, with which WRITE USING TOKEN
 * copies them without the data passing through the initiator.
 *
 * A token stands for data as they were when it was made. Nothing is set aside for that: the first write to one of
 * its blocks revokes it (change vulnerable), so that it never stands for anything else.
 */

import type { BlockDevice } from '../block-device.ts';
import { putU16, putU32, putU64 } from '../bytes.ts';
import { Sense, type SenseCode } from '../sense-spec.ts';
import { Association, CodeSet, DesignatorType } from '../vpd/designation-descriptor.ts';
import { CscdDescriptor } from './copy-spec.ts';
import { Token, TokenLimit } from './rod-token-spec.ts';
import type { PopulateRequest } from './token-list.ts';

/** Logical blocks. */
export interface BlockRange {
  readonly lba: number;
  readonly blocks: number;
}

export class RodToken {
  readonly device: BlockDevice;
  readonly ranges: readonly BlockRange[];
  /** What initiators carry about. */
  readonly bytes: Uint8Array;
  /** Milliseconds without use. */
  readonly timeout: number;
  /** Milliseconds since the epoch. */
  lastUse: number;
  /** Why it can be used no more. */
  ended: SenseCode | undefined = undefined;

  constructor(device: BlockDevice, { ranges, rodType, timeout }: PopulateRequest, identifier: number) {
    this.device = device;
    this.ranges = ranges;
    this.timeout = timeout * 1000;
    this.lastUse = device.environment.now();
    this.bytes = encode(device, rodType, identifier, this.byteLength);
  }

  get byteLength(): number {
    return this.ranges.reduce((sum, { blocks }) => sum + blocks, 0) * this.device.blockSize;
  }
}

export class RodTokens {
  /** Whether any token may still be used: the one thing the path of a WRITE looks at. */
  live = false;
  private readonly device: BlockDevice;
  /** In the order of their making; ended ones stay for a while, so that their users hear why. */
  private tokens: RodToken[] = [];
  private made = 0;

  constructor(device: BlockDevice) {
    this.device = device;
  }

  make(request: PopulateRequest): RodToken {
    const { environment } = this.device;
    // Distinct after a restart, too: a token of the life before is unknown in this one.
    const identifier = environment.now() * 256 + (this.made++ % 256);
    const token = new RodToken(this.device, request, identifier);
    this.tokens.push(token);
    while (this.tokens.length > TokenLimit.TOKENS) this.tokens.shift()!.ended ??= Sense.TOKEN_REVOKED;
    this.live = true;
    return token;
  }

  find(bytes: Uint8Array): RodToken | undefined {
    this.expire();
    return this.tokens.find((token) => token.bytes.every((byte, i) => byte === bytes[i]));
  }

  end(token: RodToken, reason: SenseCode): void {
    token.ended ??= reason;
    this.live = this.tokens.some(({ ended }) => ended === undefined);
  }

  /** Called before blocks change. */
  changing(lba: number, blocks: number): void {
    this.expire();
    for (const token of this.tokens) {
      const isHit = token.ranges.some((range) => lba < range.lba + range.blocks && range.lba < lba + blocks);
      if (isHit) this.end(token, Sense.TOKEN_REVOKED);
    }
  }

  private expire(): void {
    const now = this.device.environment.now();
    for (const token of this.tokens) {
      if (token.ended === undefined && now > token.lastUse + token.timeout)
        this.end(token, Sense.TOKEN_EXPIRED);
    }
  }
}

function encode(device: BlockDevice, rodType: number, identifier: number, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(Token.LENGTH);
  const { naa } = device.identity;
  putU32(bytes, Token.TYPE, rodType);
  putU16(bytes, Token.TOKEN_LENGTH, Token.LENGTH - Token.HEADER);
  putU64(bytes, Token.IDENTIFIER, identifier);
  const creator = bytes.subarray(Token.CREATOR, Token.CREATOR + CscdDescriptor.LENGTH);
  creator[0] = CscdDescriptor.IDENTIFICATION;
  creator[CscdDescriptor.CODE_SET] = CodeSet.BINARY;
  creator[CscdDescriptor.ASSOCIATION_AND_TYPE] = (Association.LOGICAL_UNIT << 4) | DesignatorType.NAA;
  creator[CscdDescriptor.DESIGNATOR_LENGTH] = naa.length;
  creator.set(naa, CscdDescriptor.DESIGNATOR);
  putU64(bytes, Token.BYTES_REPRESENTED + 8, byteLength);
  return bytes;
}
