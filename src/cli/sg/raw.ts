/** `lunport sg raw`: any CDB, with its data from and to files; sg_raw's options. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fromHex } from '../../scsi/bytes.ts';
import { MAX_CDB_LENGTH } from '../../scsi/task.ts';
import { UsageError } from '../../target/disk-spec.ts';
import { type Decoded, hex } from './decoded.ts';
import { describeSense } from './sense-text.ts';
import { describeStatus, type SgSession } from './session.ts';

export interface RawOptions {
  readonly request?: string;
  readonly outfile?: string;
  readonly send?: string;
  readonly infile?: string;
}

/** Bytes; as much as one command of a disk here can move. */
const MAX_TRANSFER = 64 << 20;
const STANDARD_INPUT = 0;

/** Checked before any disk is opened. Throws UsageError. */
export function rawCommand(
  words: readonly string[],
  options: RawOptions,
): (session: SgSession) => Promise<Decoded> {
  const cdb = parseCdb(words);
  const dataInLength = byteCount('--request', options.request);
  const dataOut = outgoing(options);
  if (dataInLength > 0 && dataOut !== undefined)
    throw new UsageError('--send and --request exclude each other');
  return async (session) => {
    const result = await session.initiator.send({ cdb, dataInLength, dataOut });
    const { status, sense, dataIn, transferred, residual } = result;
    if (options.outfile !== undefined) writeFileSync(options.outfile, dataIn);
    return {
      status: describeStatus(status),
      ...(sense.length > 0 ? { sense: describeSense(sense), sense_bytes: hex(sense) } : {}),
      transferred,
      residual,
      ...(options.outfile === undefined && dataIn.length > 0 ? { data: hex(dataIn) } : {}),
    };
  };
}

/** `12 00 00 00 24 00`, `120000002400`, or anything between. */
function parseCdb(words: readonly string[]): Uint8Array {
  const digits = words.map((word) => word.replace(/^0x/i, '').padStart(2, '0')).join('');
  if (!/^([0-9a-f]{2})+$/i.test(digits) || digits.length / 2 > MAX_CDB_LENGTH) {
    throw new UsageError(
      `expected a CDB of up to ${MAX_CDB_LENGTH} bytes in hexadecimal but received "${words.join(' ')}"`,
    );
  }
  return fromHex(digits);
}

function byteCount(option: string, text: string | undefined): number {
  const count = Number(text ?? '0');
  if (!Number.isInteger(count) || count < 0 || count > MAX_TRANSFER) {
    throw new UsageError(`${option}: expected up to ${MAX_TRANSFER} bytes but received "${text}"`);
  }
  return count;
}

function outgoing({ send, infile }: RawOptions): Uint8Array | undefined {
  if (send === undefined && infile === undefined) return undefined;
  if (infile === undefined) throw new UsageError('--send needs --infile');
  const bytes = readFileSync(infile === '-' ? STANDARD_INPUT : infile);
  const length = send === undefined ? bytes.length : byteCount('--send', send);
  if (length > bytes.length) throw new UsageError(`--send: ${infile} has only ${bytes.length} bytes`);
  return bytes.subarray(0, length);
}
