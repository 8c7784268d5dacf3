/** What initiators registered stays theirs, whatever becomes of the other targets that had their disk. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type TemporaryFolder, temporaryFolder } from '../../qemu/temporary-folder.ts';
import type { Initiator } from '../../src/fabrics/loopback/initiator.ts';
import { Status } from '../../src/scsi/status-spec.ts';
import { parseDisk } from '../../src/target/disk-spec.ts';
import type { ServedTarget } from '../../src/target/served-target.ts';
import { Server } from '../../src/target/server.ts';
import {
  outcome,
  readFullStatus,
  sendOut,
  TYPES,
  unitAttentions,
} from '../support/persistent-reservations.ts';

const quiet = () => {};
const WRITE = { cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut: new Uint8Array(512) };

/** `targets`: by socket, the names of its disks. */
async function serving(
  t: ExecutionContext,
  { path }: TemporaryFolder,
  targets: Readonly<Record<string, readonly string[]>>,
  use: (server: Server) => Promise<void>,
): Promise<string[]> {
  const warnings: string[] = [];
  const specs = Object.entries(targets).map(([socket, disks]) => ({
    sockets: [{ path: join(path, socket), role: 'listen' as const }],
    luns: disks.map((name, lun) => ({
      lun,
      name,
      disk: parseDisk(`${join(path, name)},create,size=1M`),
    })),
  }));
  const server = await Server.open(specs, {
    io: 'auto',
    stateDirectory: join(path, 'state'),
    iscsi: undefined,
    log: { debug: quiet, info: quiet, warn: (text) => warnings.push(text), error: (text) => t.fail(text) },
  });
  try {
    await use(server);
  } finally {
    await server.close();
  }
  return warnings;
}

async function initiatorOf(server: Server, target: ServedTarget): Promise<Initiator> {
  const initiator = target.initiator('host', server.shard.environment);
  await unitAttentions(initiator);
  return initiator;
}

async function reserve(server: Server, target: ServedTarget): Promise<void> {
  const initiator = await initiatorOf(server, target);
  await sendOut(initiator, 'register', { actionKey: 1, aptpl: true });
  await sendOut(initiator, 'reserve', { key: 1, type: TYPES.WE });
}

async function mayWrite(server: Server, target: ServedTarget): Promise<boolean> {
  const initiator = await initiatorOf(server, target);
  return (await initiator.send(WRITE)).status === Status.GOOD;
}

const CHANGES: readonly (readonly [
  title: string,
  before: Record<string, string[]>,
  after: Record<string, string[]>,
])[] = [
  ['no longer shares its disk', { a: ['x', 'y'], b: ['y'] }, { a: ['x'], b: ['y'] }],
  ['is gone', { a: ['y'], b: ['y'] }, { b: ['y'] }],
  ['comes after it', { a: ['y'], b: ['y'] }, { b: ['y'], a: ['y'] }],
  ['has come before it and shares its disk', { b: ['y'] }, { c: ['y'], b: ['y'] }],
  [
    'has come to share disks that had nothing to do with each other',
    { a: ['x'], b: ['y'] },
    { a: ['x', 'z'], b: ['y', 'z'] },
  ],
];

for (const [title, before, after] of CHANGES) {
  test(`a holder stays the holder when another target ${title}`, async (t) => {
    const folder = temporaryFolder();
    const targetB = ({ targets }: Server) => targets.find(({ sockets }) => sockets[0].path.endsWith('/b'))!;
    let ports: number[] = [];
    await serving(t, folder, before, async (server) => {
      await reserve(server, targetB(server));
      ports = (await readFullStatus(await initiatorOf(server, targetB(server)))).map(({ port }) => port);
    });
    for (const targets of [after, before]) {
      await serving(t, folder, targets, async (server) => {
        t.true(await mayWrite(server, targetB(server)));
        const now = await readFullStatus(await initiatorOf(server, targetB(server)));
        t.deepEqual(
          now.map(({ port, holder }) => ({ port, holder })),
          ports.map((port) => ({ port, holder: true })),
        );
      });
    }
    folder.remove();
  });
}

test('what a killed process left half written is removed, and nothing else', async (t) => {
  const folder = temporaryFolder();
  await serving(t, folder, { a: ['x'] }, async () => {});
  const state = join(folder.path, 'state');
  writeFileSync(join(state, 'target-ports.json.17.4711.tmp'), '{');
  writeFileSync(join(state, 'other.json.17.4711.tmp'), '{');
  await serving(t, folder, { a: ['x'] }, async () => {});
  const left = readdirSync(state).filter((name) => name.endsWith('.tmp'));
  t.deepEqual(left, ['other.json.17.4711.tmp']);
  folder.remove();
});

test('two targets with one number that come to share a disk: one gets another, and it is said', async (t) => {
  const folder = temporaryFolder();
  await serving(t, folder, { a: ['x'], b: ['y'] }, async () => {});
  const registry = join(folder.path, 'state', 'target-ports.json');
  writeFileSync(registry, readFileSync(registry, 'utf8').replace('1024', '0'));
  const warnings = await serving(t, folder, { a: ['x', 'y'], b: ['y'] }, async (server) => {
    await reserve(server, server.targets[0]);
    const other = await initiatorOf(server, server.targets[1]);
    t.is(outcome(await sendOut(other, 'reserve', { key: 1, type: TYPES.WE })), 'conflict');
  });
  t.regex(warnings.join(), /^naa\.\w+ shares a disk .* have to register again$/);
  t.deepEqual(await serving(t, folder, { b: ['y'], a: ['x', 'y'] }, async () => {}), []);
  folder.remove();
});

test('a damaged registry is told, and memory needs none', async (t) => {
  const folder = temporaryFolder();
  const openAndClose = async (disk: string) => {
    const server = await Server.open(
      [
        {
          sockets: [{ path: join(folder.path, 'a'), role: 'listen' }],
          luns: [{ lun: 0, disk: parseDisk(disk) }],
        },
      ],
      {
        io: 'auto',
        stateDirectory: folder.path,
        iscsi: undefined,
        log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
      },
    );
    await server.close();
  };
  const file = `${join(folder.path, 'disk.img')},create,size=1M`;
  for (const text of ['', '{}', '{"version":1,"targets":[{"name":"a","firstPort":1}]}']) {
    writeFileSync(join(folder.path, 'target-ports.json'), text);
    const error = await t.throwsAsync(openAndClose(file), { code: 'LUNPORT_DAMAGED_STATE' });
    t.regex(error?.message ?? '', /target-ports\.json.* is damaged/);
  }
  await t.notThrowsAsync(openAndClose('ram:1M'));
  folder.remove();
});
