/** The commands of the random tests: how each is made, sent, and what the model makes of it. */
import fc from 'fast-check';
import type { CommandRequest } from '../../../src/fabrics/loopback/initiator.ts';
import { putU16, putU32, putU64 } from '../../../src/scsi/bytes.ts';
import { Sense } from '../../../src/scsi/sense-spec.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { BLOCK, BLOCKS, type Control, type DiskModel, type Nature } from './disk-model.ts';
import { type Expected, fails, GOOD } from './expected.ts';
import { Action, type OutParameters, Type } from './reservation-model.ts';

/** One command, ready for both sides. `text` names it in a counter-example. */
export interface ModelCommand {
  readonly text: string;
  /** The model as it is before the command: an initiator knows its own key, say. */
  readonly request: CommandRequest | ((disk: DiskModel, who: number) => CommandRequest);
  readonly nature: Nature;
  readonly perform: (disk: DiskModel, who: number) => Expected;
  /** Keeps of the data-in what `Expected.data` says; default: all. */
  readonly look?: (data: Uint8Array) => Uint8Array;
}

const OUT_OF_RANGE = fails(Sense.LOGICAL_BLOCK_ADDRESS_OUT_OF_RANGE);
const READS: Nature = { access: 'read' };
const WRITES: Nature = { access: 'write', writes: true };

/** `blocks` blocks of few values, so that comparisons succeed often enough. */
function pattern(seed: number, blocks: number): Uint8Array {
  const data = new Uint8Array(blocks * BLOCK);
  for (let i = 0; i < blocks; i++)
    data.fill([0x00, 0x55, 0xaa, 0xff][(seed + i) % 4], i * BLOCK, (i + 1) * BLOCK);
  return data;
}

const cdb = (length: number, ...bytes: number[]) => {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
};

/** A CDB of the common form of that length: flags, LBA, number of blocks. */
function accessCdb(opcode: number, length: number, lba: number, blocks: number): Uint8Array {
  const result = cdb(length, opcode);
  if (length === 16) putU64(result, 2, lba);
  else putU32(result, 2, lba);
  if (length === 10) putU16(result, 7, blocks);
  else putU32(result, length === 16 ? 10 : 6, blocks);
  return result;
}

const lba = fc.nat(BLOCKS + 2);
const count = fc.nat(6);
const seed = fc.nat(3);
/** Opcodes of the (10), (12) and (16) forms. */
const form = (ten: number, twelve: number, sixteen: number) =>
  fc.constantFrom<[number, number]>([ten, 10], [twelve, 12], [sixteen, 16]);

const read = fc.tuple(form(0x28, 0xa8, 0x88), lba, count).map(
  ([[opcode, length], at, blocks]): ModelCommand => ({
    text: `READ(${length}) ${at}+${blocks}`,
    request: { cdb: accessCdb(opcode, length, at, blocks), dataInLength: blocks * BLOCK },
    nature: READS,
    perform: (disk) => {
      const data = disk.range(at, blocks);
      return data === undefined ? OUT_OF_RANGE : { status: Status.GOOD, data: data.slice() };
    },
  }),
);

const write = fc.tuple(form(0x2a, 0xaa, 0x8a), lba, count, seed).map(
  ([[opcode, length], at, blocks, first]): ModelCommand => ({
    text: `WRITE(${length}) ${at}+${blocks} of ${first}`,
    request: { cdb: accessCdb(opcode, length, at, blocks), dataOut: pattern(first, blocks) },
    nature: WRITES,
    perform: (disk) => {
      const range = disk.range(at, blocks);
      range?.set(pattern(first, blocks));
      return range === undefined ? OUT_OF_RANGE : GOOD;
    },
  }),
);

const writeSame = fc
  .tuple(fc.constantFrom<[number, number]>([0x41, 10], [0x93, 16]), lba, count, seed, fc.boolean())
  .map(([[opcode, length], at, blocks, first, unmap]): ModelCommand => {
    const bytes = accessCdb(opcode, length, at, blocks);
    if (unmap) bytes[1] = 0x08;
    return {
      text: `WRITE SAME(${length}) ${at}+${blocks} of ${first}${unmap ? ' UNMAP' : ''}`,
      request: { cdb: bytes, dataOut: pattern(first, 1) },
      nature: WRITES,
      perform: (disk) => {
        const range = at < BLOCKS ? disk.range(at, blocks === 0 ? BLOCKS - at : blocks) : undefined;
        range?.fill(pattern(first, 1)[0]);
        return range === undefined ? OUT_OF_RANGE : GOOD;
      },
    };
  });

const unmap = fc.array(fc.tuple(lba, count), { maxLength: 3 }).map((extents): ModelCommand => {
  const list = new Uint8Array(8 + 16 * extents.length);
  putU16(list, 0, list.length - 2);
  putU16(list, 2, 16 * extents.length);
  for (const [i, [at, blocks]] of extents.entries()) {
    putU64(list, 8 + 16 * i, at);
    putU32(list, 16 + 16 * i, blocks);
  }
  return {
    text: `UNMAP ${extents.map((extent) => extent.join('+')).join(', ')}`,
    request: { cdb: cdb(10, 0x42, 0, 0, 0, 0, 0, 0, 0, list.length), dataOut: list },
    nature: WRITES,
    perform: (disk) => {
      const ranges = extents.map(([at, blocks]) => disk.range(at, blocks));
      if (ranges.includes(undefined)) return OUT_OF_RANGE;
      for (const range of ranges) range!.fill(0);
      return GOOD;
    },
  };
});

const compareAndWrite = fc
  .tuple(lba, count, seed, seed)
  .map(([at, blocks, expected, wanted]): ModelCommand => {
    const bytes = cdb(16, 0x89);
    putU64(bytes, 2, at);
    bytes[13] = blocks;
    return {
      text: `COMPARE AND WRITE ${at}+${blocks} from ${expected} to ${wanted}`,
      request: {
        cdb: bytes,
        dataOut: Uint8Array.of(...pattern(expected, blocks), ...pattern(wanted, blocks)),
      },
      nature: WRITES,
      perform: (disk) => {
        const range = disk.range(at, blocks);
        if (range === undefined) return OUT_OF_RANGE;
        const difference = firstDifference(range, pattern(expected, blocks));
        if (difference >= 0) return fails(Sense.MISCOMPARE_DURING_VERIFY, difference);
        range.set(pattern(wanted, blocks));
        return GOOD;
      },
    };
  });

const orwrite = fc.tuple(lba, count, seed).map(
  ([at, blocks, first]): ModelCommand => ({
    text: `ORWRITE(16) ${at}+${blocks} of ${first}`,
    request: { cdb: accessCdb(0x8b, 16, at, blocks), dataOut: pattern(first, blocks) },
    nature: WRITES,
    perform: (disk) => {
      const range = disk.range(at, blocks);
      for (const [i, byte] of pattern(first, blocks).entries()) if (range !== undefined) range[i] |= byte;
      return range === undefined ? OUT_OF_RANGE : GOOD;
    },
  }),
);

const verify = fc
  .tuple(form(0x2f, 0xaf, 0x8f), lba, count, seed)
  .map(([[opcode, length], at, blocks, first]): ModelCommand => {
    const bytes = accessCdb(opcode, length, at, blocks);
    bytes[1] = 0x02;
    return {
      text: `VERIFY(${length}) ${at}+${blocks} against ${first}`,
      request: { cdb: bytes, dataOut: pattern(first, blocks) },
      nature: READS,
      perform: (disk) => {
        const range = disk.range(at, blocks);
        if (range === undefined) return OUT_OF_RANGE;
        const difference = firstDifference(range, pattern(first, blocks));
        return difference < 0 ? GOOD : fails(Sense.MISCOMPARE_DURING_VERIFY, difference);
      },
    };
  });

const simple: readonly ModelCommand[] = [
  {
    text: 'TEST UNIT READY',
    request: { cdb: cdb(6) },
    nature: { access: 'legacy' },
    perform: () => GOOD,
  },
  {
    text: 'INQUIRY',
    request: { cdb: cdb(6, 0x12, 0, 0, 0, 36), dataInLength: 36 },
    nature: { access: 'free', quiet: true },
    look: (data) => data.subarray(0, 1),
    perform: () => ({ status: Status.GOOD, data: Uint8Array.of(0) }),
  },
  {
    text: 'REQUEST SENSE',
    request: { cdb: cdb(6, 0x03, 0, 0, 0, 252), dataInLength: 252 },
    nature: { access: 'free', quiet: true },
    look: (data) => Uint8Array.of(data[2], data[12], data[13]),
    perform: (disk, who) => {
      const { key, code } = disk.takeAttention(who);
      return { status: Status.GOOD, data: Uint8Array.of(key, code >> 8, code & 0xff) };
    },
  },
  {
    text: 'READ CAPACITY(10)',
    request: { cdb: cdb(10, 0x25), dataInLength: 8 },
    nature: { access: 'free' },
    perform: () => ({ status: Status.GOOD, data: Uint8Array.of(0, 0, 0, BLOCKS - 1, 0, 0, BLOCK >> 8, 0) }),
  },
  {
    text: 'SYNCHRONIZE CACHE(10)',
    request: { cdb: cdb(10, 0x35) },
    nature: { access: 'write' },
    perform: () => GOOD,
  },
  {
    text: 'an unknown command',
    request: { cdb: cdb(6, 0x0d) },
    nature: { access: 'own' },
    perform: () => fails(Sense.INVALID_COMMAND_OPERATION_CODE),
  },
  {
    text: 'MODE SENSE(6) of the Control and the Caching page',
    request: { cdb: cdb(6, 0x1a, 0x08, 0x3f, 0, 252), dataInLength: 252 },
    nature: { access: 'read' },
    look: (data) => Uint8Array.of(...controlBytes(modePage(data, 0x0a)), modePage(data, 0x08)[2] & 0x04),
    perform: ({ control, writeCache }) => ({
      status: Status.GOOD,
      data: Uint8Array.of(...controlBytes(controlPage(control)), writeCache ? 0x04 : 0),
    }),
  },
];

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

const reserve: ModelCommand = {
  text: 'RESERVE(6)',
  request: { cdb: cdb(6, 0x16) },
  nature: { access: 'own' },
  perform: (disk, who) => disk.reservations.reserve(who),
};

const release: ModelCommand = {
  text: 'RELEASE(6)',
  request: { cdb: cdb(6, 0x17) },
  nature: { access: 'own' },
  perform: (disk, who) => disk.reservations.release(who),
};

/** `action` twice for what the other actions build on. */
const reserveOut = fc
  .record({
    action: fc.constantFrom(...Object.values(Action), Action.REGISTER_AND_IGNORE, Action.RESERVE),
    type: fc.constantFrom(...Object.values(Type), ...Object.values(Type), 0),
    rightKey: fc.nat(7).map((n) => n > 0),
    actionKey: fc.nat(3),
  })
  .map(
    (given): ModelCommand => ({
      text: `PERSISTENT RESERVE OUT ${JSON.stringify(given)}`,
      request: (disk, who) => {
        const list = new Uint8Array(24);
        list[7] = outParameters(given, disk, who).key;
        list[15] = given.actionKey;
        const bytes = cdb(10, 0x5f, given.action, given.type);
        bytes[8] = list.length;
        return { cdb: bytes, dataOut: list };
      },
      nature: { access: 'own' },
      perform: (disk, who) => disk.reservations.out(who, outParameters(given, disk, who)),
    }),
  );

function outParameters(
  { rightKey, ...rest }: Omit<OutParameters, 'key'> & { readonly rightKey: boolean },
  disk: DiskModel,
  who: number,
): OutParameters {
  const own = disk.reservations.keys[who];
  return { ...rest, key: rightKey ? own : own + 1 };
}

const reserveIn: readonly ModelCommand[] = [
  {
    text: 'PERSISTENT RESERVE IN, READ KEYS',
    request: { cdb: cdb(10, 0x5e, 0, 0, 0, 0, 0, 0, 1), dataInLength: 256 },
    nature: { access: 'own' },
    // In any order.
    look: (data) => Uint8Array.of(...data.subarray(0, 8), ...ascending(keysOf(data))),
    perform: ({ reservations }) =>
      reservations.in(() => {
        const keys = reservations.registered().map((who) => reservations.keys[who]);
        return report(reservations.generation, 8 * keys.length, ascending(keys));
      }),
  },
  {
    text: 'PERSISTENT RESERVE IN, READ RESERVATION',
    request: { cdb: cdb(10, 0x5e, 1, 0, 0, 0, 0, 0, 1), dataInLength: 256 },
    nature: { access: 'own' },
    look: (data) => (data.length > 8 ? Uint8Array.of(...data.subarray(0, 8), data[15], data[21]) : data),
    perform: ({ reservations }) =>
      reservations.in(() => {
        const { reservation, generation, keys } = reservations;
        if (reservation === undefined) return report(generation, 0, []);
        return report(generation, 16, [
          reservation.holder === undefined ? 0 : keys[reservation.holder],
          reservation.type,
        ]);
      }),
  },
];

function ascending(keys: number[]): number[] {
  return keys.sort((a, b) => a - b);
}

function keysOf(data: Uint8Array): number[] {
  const keys: number[] = [];
  for (let at = 8; at < data.length; at += 8) keys.push(data[at + 7]);
  return keys;
}

function report(generation: number, length: number, rest: number[]): Expected {
  const data = new Uint8Array(8);
  putU32(data, 0, generation);
  putU32(data, 4, length);
  return { status: Status.GOOD, data: Uint8Array.of(...data, ...rest) };
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  return a.findIndex((byte, i) => byte !== b[i]);
}

/** Any command, the ones that change what others may do less often than those that find out. */
export const modelCommand: fc.Arbitrary<ModelCommand> = fc
  .oneof(
    { weight: 8, arbitrary: fc.oneof(read, write) },
    { weight: 8, arbitrary: fc.oneof(writeSame, unmap, compareAndWrite, orwrite, verify) },
    { weight: 8, arbitrary: fc.constantFrom(...simple) },
    { weight: 1, arbitrary: fc.oneof(selectControl, selectCache) },
    { weight: 8, arbitrary: reserveOut },
    { weight: 2, arbitrary: fc.constantFrom(...reserveIn) },
    // A reservation by RESERVE shuts out nearly everything: it must not stand for long.
    { weight: 2, arbitrary: fc.constantFrom(reserve, release, release) },
  )
  // A counter-example is a list of names.
  .map((command) => Object.assign(command, { [fc.toStringMethod]: () => command.text }));
