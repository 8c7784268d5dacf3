/** `execute`: a CDB for a LUN, as an initiator of the caller's naming. What `lunport sg` asks a running lunport with. */
import { z } from 'zod';
import { MAX_LUN, REPORT_LUNS_WELL_KNOWN_LUN } from '../../scsi/lun-map.ts';
import { MAX_CDB_LENGTH } from '../../scsi/task.ts';
import type { Server } from '../server.ts';
import { operation, Scope } from './operation.ts';
import { targetOf } from './target-of.ts';

/** Bytes, either way; in base64, with what is around it, less than a request may have. */
const MAX_DATA = 4 << 20;
const MAX_BASE64 = Math.ceil(MAX_DATA / 3) * 4;

export const execute = operation({
  description:
    'Sends a CDB (hexadecimal) with data (base64) to a LUN, as the initiator called `initiator`, whose reservations stay its own, and answers with status, sense and data.',
  schema: z.strictObject({
    target: z.string().optional(),
    lun: z.int().min(0).max(MAX_LUN).or(z.literal(REPORT_LUNS_WELL_KNOWN_LUN)),
    initiator: z.string().min(1).max(64),
    cdb: z
      .hex()
      .min(12)
      .max(2 * MAX_CDB_LENGTH),
    dataOut: z.base64().max(MAX_BASE64).optional(),
    dataInLength: z.int().min(0).max(MAX_DATA).optional(),
  }),
  scope: Scope.TARGET,
  async run(server: Server, { target, lun, initiator, cdb, dataOut, dataInLength }) {
    const sender = targetOf(server, target).initiator(initiator, server.shard.environment);
    const result = await sender.send({
      lun,
      cdb: Buffer.from(cdb, 'hex'),
      dataOut: dataOut === undefined ? undefined : Buffer.from(dataOut, 'base64'),
      dataInLength,
    });
    const { status, sense, dataIn, transferred, residual, aborted } = result;
    return {
      status,
      sense: Buffer.from(sense).toString('hex'),
      dataIn: Buffer.from(dataIn).toString('base64'),
      transferred,
      residual,
      aborted,
    };
  },
});
