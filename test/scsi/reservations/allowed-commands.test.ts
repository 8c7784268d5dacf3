import test from 'ava';
import { blockDeviceCommands } from '../../../src/scsi/block-device-commands.ts';
import { Task } from '../../../src/scsi/task.ts';
import { Core } from '../../support/core.ts';
import { outcome, sendOut, TYPES, unitAttentions } from '../../support/persistent-reservations.ts';

/**
 * Commands that are allowed in the presence of various reservations, as SPC-4 table 65 and SBC-3 table 13 print
 * it: A allowed, C conflict. Columns: write exclusive and exclusive access of another I_T nexus; then the
 * registrants only and all registrants types, from a registered nexus; from one that is not registered, write
 * exclusive; and exclusive access. Last, what SPC-2 table 8 says of RESERVE by another initiator.
 */
const HARMLESS = 'A A A A A  A';
const ANSWERS_BESIDE_PERSISTENT_ONLY = 'A A A A A  C';
const READS = 'A C A A C  C';
const WRITES = 'C C A C C  C';

const TABLE: Readonly<Record<string, string>> = {
  'CHANGE DEFINITION': WRITES,
  'COMPARE AND WRITE': WRITES,
  'EXTENDED COPY(LID1)': WRITES,
  'EXTENDED COPY(LID4)': WRITES,
  'FORMAT UNIT': WRITES,
  'GET LBA STATUS': READS,
  'GET LBA STATUS(16)': READS,
  'GET LBA STATUS(32)': READS,
  INQUIRY: HARMLESS,
  'LOG SELECT': WRITES,
  'LOG SENSE': HARMLESS,
  'MODE SELECT(6)': WRITES,
  'MODE SELECT(10)': WRITES,
  'MODE SENSE(6)': READS,
  'MODE SENSE(10)': READS,
  'ORWRITE(16)': WRITES,
  'ORWRITE(32)': WRITES,
  'POPULATE TOKEN': READS,
  'PRE-FETCH(10)': READS,
  'PRE-FETCH(16)': READS,
  'PREVENT ALLOW MEDIUM REMOVAL': WRITES,
  'READ BUFFER(10)': READS,
  'READ BUFFER(16)': READS,
  'READ CAPACITY(10)': HARMLESS,
  'READ CAPACITY(16)': HARMLESS,
  'READ DEFECT DATA(10)': READS,
  'READ DEFECT DATA(12)': READS,
  'READ(6)': READS,
  'READ(10)': READS,
  'READ(12)': READS,
  'READ(16)': READS,
  'READ(32)': READS,
  'REASSIGN BLOCKS': WRITES,
  'RECEIVE COPY DATA(LID1)': ANSWERS_BESIDE_PERSISTENT_ONLY,
  'RECEIVE COPY FAILURE DETAILS(LID1)': ANSWERS_BESIDE_PERSISTENT_ONLY,
  'RECEIVE COPY OPERATING PARAMETERS': ANSWERS_BESIDE_PERSISTENT_ONLY,
  'RECEIVE COPY STATUS(LID4)': ANSWERS_BESIDE_PERSISTENT_ONLY,
  'RECEIVE COPY STATUS(LID1)': ANSWERS_BESIDE_PERSISTENT_ONLY,
  'RECEIVE DIAGNOSTIC RESULTS': READS,
  'RECEIVE ROD TOKEN INFORMATION': ANSWERS_BESIDE_PERSISTENT_ONLY,
  'REPORT ALL ROD TOKENS': ANSWERS_BESIDE_PERSISTENT_ONLY,
  'REPORT IDENTIFYING INFORMATION': HARMLESS,
  'REPORT LUNS': HARMLESS,
  'REPORT REFERRALS': HARMLESS,
  'REPORT SUPPORTED OPERATION CODES': READS,
  'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS': READS,
  'REPORT TARGET PORT GROUPS': HARMLESS,
  'REPORT TIMESTAMP': HARMLESS,
  'REQUEST SENSE': HARMLESS,
  'REZERO UNIT': READS,
  SANITIZE: WRITES,
  'SEEK(6)': READS,
  'SEEK(10)': READS,
  'SEND DIAGNOSTIC': WRITES,
  'SET IDENTIFYING INFORMATION': WRITES,
  'SET TARGET PORT GROUPS': WRITES,
  'SET TIMESTAMP': WRITES,
  'START STOP UNIT': WRITES,
  'SYNCHRONIZE CACHE(10)': WRITES,
  'SYNCHRONIZE CACHE(16)': WRITES,
  'TEST UNIT READY': ANSWERS_BESIDE_PERSISTENT_ONLY,
  UNMAP: WRITES,
  'VERIFY(10)': READS,
  'VERIFY(12)': READS,
  'VERIFY(16)': READS,
  'VERIFY(32)': READS,
  'WRITE AND VERIFY(10)': WRITES,
  'WRITE AND VERIFY(12)': WRITES,
  'WRITE AND VERIFY(16)': WRITES,
  'WRITE AND VERIFY(32)': WRITES,
  'WRITE ATOMIC(16)': WRITES,
  'WRITE ATOMIC(32)': WRITES,
  'WRITE BUFFER': WRITES,
  'WRITE LONG(10)': WRITES,
  'WRITE LONG(16)': WRITES,
  'WRITE SAME(10)': WRITES,
  'WRITE SAME(16)': WRITES,
  'WRITE SAME(32)': WRITES,
  'WRITE USING TOKEN': WRITES,
  'WRITE(6)': WRITES,
  'WRITE(10)': WRITES,
  'WRITE(12)': WRITES,
  'WRITE(16)': WRITES,
  'WRITE(32)': WRITES,
};

/** CDBs that the tables treat apart from others of the same command. */
const EXCEPTIONS = [
  { name: 'START STOP UNIT', cdb: [0x1b, 0, 0, 0, 0x01, 0], cells: HARMLESS, what: 'START=1' },
  {
    name: 'START STOP UNIT',
    cdb: [0x1b, 0, 0, 0, 0x31, 0],
    cells: WRITES,
    what: 'START=1, POWER CONDITION=3',
  },
  { name: 'PREVENT ALLOW MEDIUM REMOVAL', cdb: [0x1e, 0, 0, 0, 0x00, 0], cells: HARMLESS, what: 'PREVENT=0' },
  { name: 'PREVENT ALLOW MEDIUM REMOVAL', cdb: [0x1e, 0, 0, 0, 0x01, 0], cells: WRITES, what: 'PREVENT=1' },
];
const EXCEPTIONAL = new Set(EXCEPTIONS.map(({ name }) => name));

/** All service actions of a command share its row: `SANITIZE, OVERWRITE`. */
function marksOf(name: string): string[] | undefined {
  return (TABLE[name] ?? TABLE[name.split(',')[0]])?.split(/ +/);
}

const COLUMNS = [
  { what: 'write exclusive', types: ['WE'], registered: [true, false] },
  { what: 'exclusive access', types: ['EA'], registered: [true, false] },
  { what: 'registrants, registered', types: ['WE_RO', 'EA_RO', 'WE_AR', 'EA_AR'], registered: [true] },
  { what: 'write exclusive registrants', types: ['WE_RO', 'WE_AR'], registered: [false] },
  { what: 'exclusive access registrants', types: ['EA_RO', 'EA_AR'], registered: [false] },
] as const;

const rows = blockDeviceCommands.rows.filter(({ reservation }) => reservation !== 'own');

/** Every command that stands in the table, as a CDB with nothing but its opcode and service action. */
function* cells(): Iterable<{ label: string; cdb: number[]; marks: string[] }> {
  for (const row of rows) {
    if (EXCEPTIONAL.has(row.name)) continue;
    const cdb = new Array<number>(row.cdbLength).fill(0);
    cdb[0] = row.opcode;
    if (row.serviceAction !== undefined) cdb[row.opcode === 0x7f ? 9 : 1] = row.serviceAction;
    yield { label: row.name, cdb, marks: marksOf(row.name) ?? [] };
  }
  for (const { name, cdb, cells: text, what } of EXCEPTIONS) {
    if (rows.some((row) => row.name === name))
      yield { label: `${name} with ${what}`, cdb, marks: text.split(/ +/) };
  }
}

function conflicts(core: Core, initiator: Core['initiator'], cdb: number[]) {
  const task = new Task(initiator);
  task.nexus = initiator.nexus;
  task.itl = initiator.nexus.unit(0);
  task.cdb.set(cdb);
  task.row = blockDeviceCommands.lookup(task.cdb);
  return core.disk.conflictsWithReservation(task);
}

test('the table of the standards knows every command that there is', (t) => {
  t.deepEqual(
    rows.map(({ name }) => name).filter((name) => marksOf(name) === undefined),
    [],
  );
});

for (const [index, column] of COLUMNS.entries()) {
  test(`${column.what}: every command is allowed or conflicts as the standards print it`, async (t) => {
    for (const type of column.types) {
      for (const registered of column.registered) {
        const core = new Core();
        const other = core.connect('naa.5000000000000002');
        await sendOut(core.initiator, 'register', { actionKey: 1 });
        if (registered) await sendOut(other, 'register', { actionKey: 2 });
        t.is(outcome(await sendOut(core.initiator, 'reserve', { key: 1, type: TYPES[type] })), 'good');
        for (const { label, cdb, marks } of cells()) {
          const conflict = conflicts(core, other, cdb);
          t.is(conflict ? 'C' : 'A', marks[index], `${label} beside ${type}, registered: ${registered}`);
          t.false(conflicts(core, core.initiator, cdb), `${label} by the holder of ${type}`);
        }
      }
    }
  });
}

test('RESERVE by another initiator: every command is allowed or conflicts as SPC-2 prints it', async (t) => {
  const core = new Core();
  const other = core.connect('naa.5000000000000002');
  t.is(outcome(await core.initiator.send({ cdb: [0x16, 0, 0, 0, 0, 0] })), 'good');
  for (const { label, cdb, marks } of cells()) {
    t.is(conflicts(core, other, cdb) ? 'C' : 'A', marks[5], label);
    t.false(conflicts(core, core.initiator, cdb), `${label} by the holder`);
  }
});

const BLOCK = new Uint8Array(512);
/** What a guest of a cluster really sends: the whole way through the device server. */
const SENT = [
  { name: 'READ(10)', cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 },
  { name: 'WRITE(10)', cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: BLOCK },
  { name: 'WRITE SAME(10)', cdb: [0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: BLOCK },
  {
    name: 'COMPARE AND WRITE',
    cdb: [0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
    dataOut: new Uint8Array(1024),
  },
  {
    name: 'UNMAP',
    cdb: [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
    dataOut: Uint8Array.from([0, 22, 0, 16, ...new Array(15).fill(0), 1, 0, 0, 0, 0]),
  },
  { name: 'SYNCHRONIZE CACHE(10)', cdb: [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
  { name: 'MODE SENSE(6)', cdb: [0x1a, 0, 0x3f, 0, 255, 0], dataInLength: 255 },
  { name: 'INQUIRY', cdb: [0x12, 0, 0, 0, 255, 0], dataInLength: 255 },
  { name: 'TEST UNIT READY', cdb: [0, 0, 0, 0, 0, 0] },
];

for (const type of ['WE_RO', 'EA_RO', 'WE_AR', 'EA_AR'] as const) {
  // SPDK answers WRITE SAME and COMPARE AND WRITE of a registrant with RESERVATION CONFLICT.
  test(`${type}: a registrant reads and writes with every command, a stranger as its column says`, async (t) => {
    const core = new Core();
    const [registrant, stranger] = [
      core.connect('naa.5000000000000002'),
      core.connect('naa.5000000000000003'),
    ];
    await sendOut(core.initiator, 'register', { actionKey: 1 });
    await sendOut(registrant, 'register', { actionKey: 2 });
    await sendOut(core.initiator, 'reserve', { key: 1, type: TYPES[type] });
    for (const { name, ...request } of SENT) {
      t.is(outcome(await registrant.send(request)), 'good', name);
      const mark = marksOf(name)![type.startsWith('WE') ? 3 : 4];
      t.is(outcome(await stranger.send(request)), mark === 'A' ? 'good' : 'conflict', name);
    }
    t.deepEqual(await unitAttentions(registrant), []);
  });
}
