/** MODE SENSE and MODE SELECT of the Control and the Caching page. */
import fc from 'fast-check';
import type { CommandRequest } from '../../../src/fabrics/loopback/initiator.ts';
import { putU16 } from '../../../src/scsi/bytes.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import type { Control } from './disk-model.ts';
import { cdb, type ModelCommand } from './model-command.ts';

export const modeSense: ModelCommand = {
  text: 'MODE SENSE(6) of the Control and the Caching page',
  request: { cdb: cdb(6, 0x1a, 0x08, 0x3f, 0, 252), dataInLength: 252 },
  nature: { access: 'read' },
  look: (data) => Uint8Array.of(...controlBytes(modePage(data, 0x0a)), modePage(data, 0x08)[2] & 0x04),
  perform: ({ control, writeCache }) => ({
    status: Status.GOOD,
    data: Uint8Array.of(...controlBytes(controlPage(control)), writeCache ? 0x04 : 0),
  }),
};

/** Of the Control mode page, what MODE SELECT changes here: TST to TAS without what stays as it is. */
function controlBytes(page: Uint8Array): number[] {
  return [page[2] & 0x04, page[3] & 0x06, page[4] & 0x38, page[5] & 0x40];
}

function controlPage({ dSense, qerr, uaIntlck, swp, tas }: Control): Uint8Array {
  const page = cdb(12, 0x0a, 0x0a);
  page[2] = 0x02 | (dSense ? 0x04 : 0);
  page[3] = 0x10 | (qerr << 1);
  page[4] = (uaIntlck << 4) | (swp ? 0x08 : 0);
  page[5] = tas ? 0x40 : 0;
  putU16(page, 8, 0xffff);
  // EXTENDED SELF-TEST COMPLETION TIME, seconds: the disk is small.
  putU16(page, 10, 1);
  return page;
}

/** The page of that code in the answer to MODE SENSE(6) without block descriptors. */
function modePage(data: Uint8Array, code: number): Uint8Array {
  let at = 4;
  while (at < data.length && (data[at] & 0x7f) !== code) {
    at += (data[at] & 0x40) !== 0 ? 4 + ((data[at + 2] << 8) | data[at + 3]) : 2 + data[at + 1];
  }
  return data.subarray(at);
}

const modeSelect = (page: Uint8Array): CommandRequest => {
  const list = Uint8Array.of(0, 0, 0, 0, ...page);
  return { cdb: cdb(6, 0x15, 0x10, 0, 0, list.length), dataOut: list };
};

const selectControl = fc
  .record({
    dSense: fc.boolean(),
    qerr: fc.constantFrom(0, 1, 3),
    uaIntlck: fc.constantFrom(0, 0, 2, 3),
    // Rare: most other commands would only fail.
    swp: fc.nat(5).map((n) => n === 0),
    tas: fc.boolean(),
  })
  .map(
    (control): ModelCommand => ({
      text: `MODE SELECT(6) of ${JSON.stringify(control)}`,
      request: modeSelect(controlPage(control)),
      nature: { access: 'write' },
      perform: (disk, who) => disk.change(who, control, disk.writeCache),
    }),
  );

const selectCache = fc.boolean().map(
  (writeCache): ModelCommand => ({
    text: `MODE SELECT(6) of WCE ${writeCache}`,
    request: modeSelect(
      Uint8Array.of(0x08, 0x12, writeCache ? 4 : 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0x20, ...cdb(7)),
    ),
    nature: { access: 'write' },
    perform: (disk, who) => disk.change(who, disk.control, writeCache),
  }),
);

export const modeSelects = fc.oneof(selectControl, selectCache);
