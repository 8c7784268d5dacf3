/**
 * Fixed newstyle negotiation: options in, replies out, until an export is chosen. It knows no socket: bytes of one
 * option go in, what to send and what comes next come out.
 */

import type { NbdExport } from './nbd-export.ts';
import {
  BASE_ALLOCATION,
  BASE_ALLOCATION_ID,
  EXPORT_NAME_LENGTH,
  EXPORT_NAME_ZEROES,
  GREETING_LENGTH,
  HandshakeFlag,
  Info,
  MAX_STRING_LENGTH,
  NBD_MAGIC,
  OPTION_MAGIC,
  OPTION_REPLY_HEADER_LENGTH,
  OPTION_REPLY_MAGIC,
  Option,
  Reply,
} from './nbd-spec.ts';
import { NbdProtocolError } from './protocol-error.ts';

/** `TLS`: everything after this reply is encrypted. */
export const Next = { OPTION: 0, TRANSMISSION: 1, CLOSE: 2, TLS: 3 } as const;
export type Next = (typeof Next)[keyof typeof Next];

export interface Answer {
  readonly bytes: Buffer;
  readonly next: Next;
}

export interface ExportDirectory {
  readonly exports: readonly NbdExport[];
  /** The export of that name; the empty name is the default export. */
  find(name: string): NbdExport | undefined;
}

/** `required`: nothing but STARTTLS is answered before. */
export type TlsPolicy = 'none' | 'offered' | 'required';

const DEFAULT_NAME = '';

export class Handshake {
  /** What the connection has agreed on. */
  structured = false;
  extended = false;
  /** Whether base:allocation was asked for, for the export that was chosen then. */
  allocationContext = false;
  chosen: NbdExport | undefined = undefined;
  private readonly directory: ExportDirectory;
  private readonly tls: TlsPolicy;
  private contextExport: NbdExport | undefined = undefined;
  /** Whether options are answered at all; a client of the newstyle before knows EXPORT_NAME alone. */
  private fixed = true;
  private noZeroes = false;
  private encrypted = false;

  constructor(directory: ExportDirectory, tls: TlsPolicy) {
    this.directory = directory;
    this.tls = tls;
  }

  greeting(): Buffer {
    const bytes = Buffer.alloc(GREETING_LENGTH);
    bytes.writeBigUInt64BE(NBD_MAGIC, 0);
    bytes.writeBigUInt64BE(OPTION_MAGIC, 8);
    bytes.writeUInt16BE(HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES, 16);
    return bytes;
  }

  /** Throws NbdProtocolError for flags that were not offered. */
  clientFlags(flags: number): void {
    const known = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES;
    if ((flags & ~known) !== 0) throw new NbdProtocolError(`client flags ${(flags >>> 0).toString(16)}h`);
    this.fixed = (flags & HandshakeFlag.FIXED_NEWSTYLE) !== 0;
    this.noZeroes = (flags & HandshakeFlag.NO_ZEROES) !== 0;
  }

  /** The socket is encrypted now: what was agreed before is void (proto.md, NBD_OPT_STARTTLS). */
  startedTls(): void {
    this.encrypted = true;
    this.structured = false;
    this.extended = false;
    this.forgetContexts();
  }

  /**
   * `data` is undefined when it was too long to keep. Throws NbdProtocolError where the protocol leaves no answer but
   * to hang up.
   */
  option(option: number, data: Buffer | undefined): Answer {
    if (!this.fixed && option !== Option.EXPORT_NAME)
      throw new NbdProtocolError(`option ${option} of a client that is not of the fixed newstyle`);
    if (option === Option.ABORT) return { bytes: reply(option, Reply.ACK), next: Next.CLOSE };
    if (option === Option.STARTTLS) return this.startTls(data);
    if (this.tls === 'required' && !this.encrypted) {
      if (option === Option.EXPORT_NAME)
        throw new NbdProtocolError('an export name before TLS, which is required');
      return more(reply(option, Reply.ERR_TLS_REQD));
    }
    if (data === undefined) {
      if (option === Option.EXPORT_NAME) throw new NbdProtocolError('an export name that is too long');
      return more(reply(option, Reply.ERR_TOO_BIG));
    }
    switch (option) {
      case Option.EXPORT_NAME:
        return this.exportName(data);
      case Option.LIST:
        return more(data.length === 0 ? this.list() : invalid(option, 'LIST has no data'));
      case Option.INFO:
      case Option.GO:
        return this.infoOrGo(option, data);
      case Option.STRUCTURED_REPLY:
        return more(this.structuredReply(data));
      case Option.EXTENDED_HEADERS:
        return more(this.extendedHeaders(data));
      case Option.LIST_META_CONTEXT:
      case Option.SET_META_CONTEXT:
        return more(this.metaContext(option, data));
      default:
        return more(reply(option, Reply.ERR_UNSUP));
    }
  }

  private startTls(data: Buffer | undefined): Answer {
    const { STARTTLS } = Option;
    if (data?.length !== 0) return more(invalid(STARTTLS, 'STARTTLS has no data'));
    if (this.encrypted) return more(invalid(STARTTLS, 'TLS has begun already'));
    if (this.tls === 'none') return more(reply(STARTTLS, Reply.ERR_POLICY));
    return { bytes: reply(STARTTLS, Reply.ACK), next: Next.TLS };
  }

  /** There is no way to refuse but to hang up. */
  private exportName(data: Buffer): Answer {
    const name = data.toString('utf8');
    const found = data.length > MAX_STRING_LENGTH ? undefined : this.directory.find(name);
    if (found === undefined) throw new NbdProtocolError(`export "${printable(name)}" does not exist`);
    // With extended headers only GO may follow (proto.md, NBD_OPT_EXTENDED_HEADERS).
    if (this.extended) throw new NbdProtocolError('EXPORT_NAME after extended headers');
    this.choose(found);
    const bytes = Buffer.alloc(EXPORT_NAME_LENGTH + (this.noZeroes ? 0 : EXPORT_NAME_ZEROES));
    bytes.writeBigUInt64BE(BigInt(found.device.geometry.byteLength), 0);
    bytes.writeUInt16BE(found.transmissionFlags(this.structured), 8);
    return { bytes, next: Next.TRANSMISSION };
  }

  private list(): Buffer {
    const names = this.directory.exports.map(({ name, description }) => {
      const text = Buffer.from(description);
      return reply(Option.LIST, Reply.SERVER, Buffer.concat([lengthAndText(name), text]));
    });
    return Buffer.concat([...names, reply(Option.LIST, Reply.ACK)]);
  }

  /** Name length (4), name, number of information requests (2), requests (2 each). */
  private infoOrGo(option: number, data: Buffer): Answer {
    const text = readText(data, 0);
    if (text === undefined || data.length < text.end + 2)
      return more(invalid(option, 'the request is cut off'));
    const count = data.readUInt16BE(text.end);
    if (data.length !== text.end + 2 + 2 * count)
      return more(invalid(option, 'information requests do not add up'));
    const found = this.directory.find(text.value);
    if (found === undefined) return more(reply(option, Reply.ERR_UNKNOWN));
    const wanted = new Set<number>();
    for (let i = 0; i < count; i++) wanted.add(data.readUInt16BE(text.end + 2 + 2 * i));
    const bytes = Buffer.concat([...this.information(option, found, wanted), reply(option, Reply.ACK)]);
    if (option === Option.INFO) return more(bytes);
    this.choose(found);
    return { bytes, next: Next.TRANSMISSION };
  }

  private information(option: number, found: NbdExport, wanted: ReadonlySet<number>): Buffer[] {
    const size = Buffer.alloc(12);
    size.writeUInt16BE(Info.EXPORT, 0);
    size.writeBigUInt64BE(BigInt(found.device.geometry.byteLength), 2);
    size.writeUInt16BE(found.transmissionFlags(this.structured), 10);
    const replies = [reply(option, Reply.INFO, size)];
    if (wanted.has(Info.NAME)) replies.push(infoText(option, Info.NAME, found.name));
    if (wanted.has(Info.DESCRIPTION)) replies.push(infoText(option, Info.DESCRIPTION, found.description));
    // Told unasked as well: it is never wrong to know.
    const { minimum, preferred, maximum } = found.blockSizes;
    const sizes = Buffer.alloc(14);
    sizes.writeUInt16BE(Info.BLOCK_SIZE, 0);
    sizes.writeUInt32BE(minimum, 2);
    sizes.writeUInt32BE(preferred, 6);
    sizes.writeUInt32BE(maximum, 10);
    replies.push(reply(option, Reply.INFO, sizes));
    return replies;
  }

  private structuredReply(data: Buffer): Buffer {
    const { STRUCTURED_REPLY } = Option;
    if (data.length > 0) return invalid(STRUCTURED_REPLY, 'STRUCTURED_REPLY has no data');
    if (this.extended) return reply(STRUCTURED_REPLY, Reply.ERR_EXT_HEADER_REQD);
    this.structured = true;
    return reply(STRUCTURED_REPLY, Reply.ACK);
  }

  private extendedHeaders(data: Buffer): Buffer {
    const { EXTENDED_HEADERS } = Option;
    if (data.length > 0) return invalid(EXTENDED_HEADERS, 'EXTENDED_HEADERS has no data');
    if (this.extended) return invalid(EXTENDED_HEADERS, 'extended headers are on already');
    this.extended = true;
    this.structured = true;
    return reply(EXTENDED_HEADERS, Reply.ACK);
  }

  /** Name length (4), name, number of queries (4), each a length (4) and a text. */
  private metaContext(option: number, data: Buffer): Buffer {
    const setting = option === Option.SET_META_CONTEXT;
    if (setting) this.forgetContexts();
    if (!this.structured) return invalid(option, 'structured replies must be agreed on first');
    const name = readText(data, 0);
    if (name === undefined || data.length < name.end + 4) return invalid(option, 'the request is cut off');
    const queries = readTexts(data, name.end);
    if (queries === undefined) return invalid(option, 'queries do not add up');
    const found = this.directory.find(name.value);
    if (found === undefined) return reply(option, Reply.ERR_UNKNOWN);
    const asked = setting
      ? queries.includes(BASE_ALLOCATION)
      : queries.length === 0 || queries.some((query) => query === 'base:' || query === BASE_ALLOCATION);
    if (!asked) return reply(option, Reply.ACK);
    if (setting) {
      this.allocationContext = true;
      this.contextExport = found;
    }
    const context = Buffer.alloc(4 + BASE_ALLOCATION.length);
    context.writeUInt32BE(setting ? BASE_ALLOCATION_ID : 0, 0);
    context.write(BASE_ALLOCATION, 4, 'latin1');
    return Buffer.concat([reply(option, Reply.META_CONTEXT, context), reply(option, Reply.ACK)]);
  }

  private choose(found: NbdExport): void {
    this.chosen = found;
    if (this.contextExport !== found) this.forgetContexts();
  }

  private forgetContexts(): void {
    this.allocationContext = false;
    this.contextExport = undefined;
  }
}

/** Every name but the default one must be spelled as it is. */
export function findExport(exports: readonly NbdExport[], name: string): NbdExport | undefined {
  return name === DEFAULT_NAME ? exports[0] : exports.find((candidate) => candidate.name === name);
}

const more = (bytes: Buffer): Answer => ({ bytes, next: Next.OPTION });

function reply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(OPTION_REPLY_HEADER_LENGTH);
  header.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(data.length, 16);
  return Buffer.concat([header, data]);
}

/** The refusal of an option whose data is wrong; `why` is for people. */
function invalid(option: number, why: string): Buffer {
  return reply(option, Reply.ERR_INVALID, Buffer.from(why));
}

function infoText(option: number, info: number, text: string): Buffer {
  const code = Buffer.alloc(2);
  code.writeUInt16BE(info, 0);
  return reply(option, Reply.INFO, Buffer.concat([code, Buffer.from(text)]));
}

function lengthAndText(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length, 0);
  return Buffer.concat([length, bytes]);
}

/** A length (4) and as many bytes of text; undefined when `data` ends before, or the text is too long. */
function readText(data: Buffer, at: number): { value: string; end: number } | undefined {
  if (data.length < at + 4) return undefined;
  const length = data.readUInt32BE(at);
  const end = at + 4 + length;
  if (length > MAX_STRING_LENGTH || data.length < end) return undefined;
  return { value: data.toString('utf8', at + 4, end), end };
}

/** A count (4) and as many texts, which must use up `data`. */
function readTexts(data: Buffer, at: number): string[] | undefined {
  const count = data.readUInt32BE(at);
  const texts: string[] = [];
  at += 4;
  // Each takes 4 bytes at least, so a huge count ends at the data's end.
  for (let i = 0; i < count; i++) {
    const text = readText(data, at);
    if (text === undefined) return undefined;
    texts.push(text.value);
    at = text.end;
  }
  return at === data.length ? texts : undefined;
}

/** A name from a stranger, fit for a log. */
function printable(name: string): string {
  return name.slice(0, 80).replace(/[^\x20-\x7e]/g, '?');
}
