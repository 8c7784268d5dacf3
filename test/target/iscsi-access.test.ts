/** What each initiator may do over iSCSI: ACLs with mapped LUNs, their secrets, demo mode. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import {
  InitiatorOpcode,
  LoginStatus,
  TaskFunction,
  TaskResponse,
} from '../../src/fabrics/iscsi/iscsi-spec.ts';
import type { IscsiAcl, IscsiTargetOptions } from '../../src/target/iscsi-access.ts';
import type { IscsiOptions } from '../../src/target/iscsi-options.ts';
import { Server } from '../../src/target/server.ts';
import { describeServer } from '../../src/target/server-description.ts';
import { type Controlled, startControlled } from '../support/control.ts';
import { IscsiClient } from '../support/iscsi-client.ts';
import { chapDigest, chapLogin, execute, reportLuns, settle } from '../support/iscsi-commands.ts';
import { luns } from '../support/luns.ts';
import { outCdb, parameterList, TYPES } from '../support/persistent-reservations.ts';

const IQN = 'iqn.2026-01.example.lunport:acl';
const A = 'iqn.2026-01.example.initiator:a';
const B = 'iqn.2026-01.example.initiator:b';
const STRANGER = 'iqn.2026-01.example.initiator:stranger';
const write10 = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const read10 = [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const MODE_SENSE = [0x1a, 0, 0x3f, 0, 0xff, 0];
const WP = 0x80;
const WRITE_PROTECTED = '7/27/00';
const block = new Uint8Array(512).fill(0x5a);

function options(target: Partial<IscsiTargetOptions>, host = '127.0.0.1'): IscsiOptions {
  const defaults = { name: IQN, acls: [], others: 'refused', demo: false } as const;
  return { addresses: [{ host, port: 0 }], target: { ...defaults, ...target } };
}

async function serve(
  t: ExecutionContext,
  target: Partial<IscsiTargetOptions>,
  disks = ['ram:1M', 'ram:2M', 'ram:3M'],
): Promise<Controlled> {
  const started = await startControlled(disks, { iscsi: options(target) });
  t.teardown(() => started.close());
  return started;
}

async function connect(t: ExecutionContext, { server }: Controlled): Promise<IscsiClient> {
  const client = await IscsiClient.open(server.iscsi!.addresses[0].port);
  t.teardown(() => client.close());
  return client;
}

/** Logged in, all unit attentions heard. */
async function session(t: ExecutionContext, it: Controlled, initiator: string): Promise<IscsiClient> {
  const client = await connect(t, it);
  t.is(IscsiClient.status(await client.login({ initiator, target: IQN })), LoginStatus.SUCCESS);
  for (const lun of await reportLuns(client)) await settle(client, lun);
  return client;
}

/** What a write to `lun` says, and the WP bit there. */
async function protection(client: IscsiClient, lun: number): Promise<[sense: string, wp: boolean]> {
  const { sense } = await execute(client, { cdb: write10, lun, dataOut: block });
  const { data } = await execute(client, { cdb: MODE_SENSE, lun, dataInLength: 255 });
  return [sense, (data[2] & WP) !== 0];
}

const MAPPED: IscsiAcl = {
  initiator: A,
  luns: [
    { lun: 0, targetLun: 2, writeProtected: true },
    { lun: 7, targetLun: 0, writeProtected: false },
    { lun: 300, targetLun: 5, writeProtected: true },
  ],
};

test('an initiator sees the LUNs of its ACL under their numbers, write-protected where it says so', async (t) => {
  const it = await serve(t, { acls: [MAPPED, { initiator: B }] });
  const a = await session(t, it, A);
  const b = await session(t, it, B);
  t.deepEqual(await reportLuns(a), [0, 7]);
  t.deepEqual(await reportLuns(b), [0, 1, 2]);
  t.deepEqual(await protection(a, 0), [WRITE_PROTECTED, true]);
  t.deepEqual(await protection(a, 7), ['', false]);
  t.deepEqual(await protection(b, 2), ['', false], 'the same disk, to another initiator');
  t.is((await execute(a, { cdb: write10, lun: 1, dataOut: block })).sense, '5/25/00');
  const read = async (client: IscsiClient, lun: number) =>
    (await execute(client, { cdb: read10, lun, dataInLength: 512 })).data;
  t.deepEqual(await read(a, 0), Buffer.from(block), 'what the other wrote to it');
  t.deepEqual(await read(b, 0), Buffer.from(block), 'what was written as LUN 7');
});

const register = parameterList({ actionKey: 7 });
const throughProtection: [name: string, cdb: number[], dataOut: Uint8Array, sense: string][] = [
  ['WRITE SAME(10)', [0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0], block, WRITE_PROTECTED],
  ['UNMAP', [0x42, 0, 0, 0, 0, 0, 0, 0, 8, 0], Uint8Array.of(0, 6, 0, 0, 0, 0, 0, 0), WRITE_PROTECTED],
  ['FORMAT UNIT', [0x04, 0, 0, 0, 0, 0], new Uint8Array(), WRITE_PROTECTED],
  ['SANITIZE', [0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0], new Uint8Array(), WRITE_PROTECTED],
  ['PERSISTENT RESERVE OUT', outCdb('register', 0, register.length), register, ''],
  ['MODE SELECT(6)', [0x15, 0x10, 0, 0, 4, 0], new Uint8Array(4), ''],
];
for (const [name, cdb, dataOut, sense] of throughProtection) {
  test(`write protection ${sense === '' ? 'is no matter of' : 'refuses'} ${name}`, async (t) => {
    const it = await serve(t, { acls: [{ initiator: A, readOnly: true }] }, ['ram:1M']);
    t.is((await execute(await session(t, it, A), { cdb, dataOut })).sense, sense);
  });
}

test('LUNs of an ACL come and go with the disks behind them', async (t) => {
  const it = await serve(t, { acls: [MAPPED, { initiator: B }] });
  const a = await session(t, it, A);
  const b = await session(t, it, B);
  await it.client.call('add', { disk: 'ram:4M', lun: 5 });
  t.is((await execute(a, { cdb: [0, 0, 0, 0, 0, 0], lun: 7 })).sense, '6/3f/0e');
  t.deepEqual(await reportLuns(a), [0, 7, 300]);
  await settle(a, 300);
  t.deepEqual(await protection(a, 300), [WRITE_PROTECTED, true]);
  await it.client.call('add', { disk: 'ram:4M', lun: 6 });
  t.deepEqual(await reportLuns(a), [0, 7, 300], 'a disk that no mapping names');
  t.deepEqual(await reportLuns(b), [0, 1, 2, 5, 6]);
  await it.client.call('remove', { lun: 0 });
  t.deepEqual(await reportLuns(a), [0, 300]);
  t.is((await execute(a, { cdb: write10, lun: 7, dataOut: block })).sense, '5/25/00');
});

test('an ACL without a list may still be read-only, for disks that come later too', async (t) => {
  const it = await serve(t, { acls: [{ initiator: A, readOnly: true }], others: 'read-only' }, ['ram:1M']);
  const a = await session(t, it, A);
  const stranger = await session(t, it, STRANGER);
  await it.client.call('add', { disk: 'ram:1M' });
  for (const client of [a, stranger]) {
    t.deepEqual(await reportLuns(client), [0, 1]);
    for (const lun of [0, 1]) {
      await settle(client, lun);
      t.deepEqual(await protection(client, lun), [WRITE_PROTECTED, true]);
    }
  }
});

test('what is served and who is connected is told with all maps', async (t) => {
  const it = await serve(t, { acls: [MAPPED] });
  const urls = describeServer(it.server).iscsi.map((url) => url.replace(/^.*\//, ''));
  t.deepEqual(urls, ['0', '7']);
  await session(t, it, A);
  const { targets } = (await it.client.call('list', {})) as unknown as {
    targets: { nexuses: { initiator: string }[] }[];
  };
  t.true(targets[0].nexuses.some(({ initiator }) => initiator.startsWith(`${A},i,`)));
});

/** Relative target port identifiers of the SCSI Ports page (SPC-4 7.8.14). */
async function portsOf(client: IscsiClient): Promise<number[]> {
  const { data } = await execute(client, { cdb: [0x12, 1, 0x88, 1, 0, 0], dataInLength: 256 });
  const ports: number[] = [];
  for (let at = 4; at < data.length; at += 8 + data.readUInt16BE(at + 6)) {
    ports.push(data.readUInt16BE(at + 2));
    at += 4 + data.readUInt16BE(at + 6);
  }
  return ports;
}

test('every port is known before anybody has come to it, to ALL_TG_PT as well', async (t) => {
  const [one, two] = [0, 0].map((port) => ({ host: '127.0.0.1', port }));
  const it = await startControlled(['ram:1M'], {
    iscsi: { ...options({ others: 'admitted' }), addresses: [one, two] },
  });
  t.teardown(() => it.close());
  const first = await session(t, it, A);
  // The vhost-user port, and one for each portal.
  t.deepEqual(await portsOf(first), [1, 2, 3]);
  const { data } = await execute(first, {
    cdb: [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
    dataInLength: 256,
  });
  const groups = [4, 16, 28].map((at) => [
    data.readUInt16BE(at + 2),
    data[at + 7],
    data.readUInt16BE(at + 10),
  ]);
  t.deepEqual(groups, [
    [0, 1, 1],
    [1, 1, 2],
    [2, 1, 3],
  ]);
  const register = parameterList({ actionKey: 7, allPorts: true });
  t.is((await execute(first, { cdb: outCdb('register', 0, register.length), dataOut: register })).status, 0);
  const second = await IscsiClient.open(it.server.iscsi!.addresses[1].port);
  t.teardown(() => second.close());
  await second.login({ initiator: A, target: IQN });
  await settle(second, 0);
  const reserve = parameterList({ key: 7 });
  const answer = await execute(second, {
    cdb: outCdb('reserve', TYPES.EA, reserve.length),
    dataOut: reserve,
  });
  t.is(answer.status, 0, 'a port that nobody had come to when the registration was made');
  await it.client.call('add', { disk: 'ram:1M' });
  t.deepEqual(
    [...it.server.targets[0].disks.get(1)!.unit.targetPorts.keys()].sort((x, y) => x - y),
    [1, 2, 3],
  );
});

test('who sees but a part of a target cannot end the sessions of others', async (t) => {
  const it = await serve(t, { acls: [MAPPED, { initiator: B }] });
  const a = await session(t, it, A);
  const b = await session(t, it, B);
  const coldReset = async (client: IscsiClient) => {
    client.send(client.request(InitiatorOpcode.TASK_MANAGEMENT, 0x80 | TaskFunction.TARGET_COLD_RESET, true));
    return (await client.next())!.header[2];
  };
  t.is(await coldReset(a), TaskResponse.AUTHORIZATION_FAILED);
  await settle(b, 0);
  t.is(await coldReset(b), TaskResponse.COMPLETE);
});

const secrets = { credentials: { user: 'all', secret: 'the secret of all' } };
const OWN = {
  user: 'a',
  secret: 'a-secret-of-its-own',
  mutualUser: 'target',
  mutualSecret: 'and-ours-for-it',
};

const logins: [title: string, initiator: string, user: string, secret: string, status: number][] = [
  ["an initiator with its ACL's secret", A, OWN.user, OWN.secret, LoginStatus.SUCCESS],
  ["an initiator with everybody's instead of its own", A, 'all', 'the secret of all', 0x0201],
  ["an initiator whose ACL has none with everybody's", B, 'all', 'the secret of all', LoginStatus.SUCCESS],
  ["an initiator with another's", B, OWN.user, OWN.secret, 0x0201],
  ['an initiator without an ACL', STRANGER, 'all', 'the secret of all', LoginStatus.AUTHORIZATION_FAILURE],
];
for (const [title, initiator, user, secret, status] of logins) {
  test(`${title} is answered ${status.toString(16).padStart(4, '0')}h`, async (t) => {
    const it = await serve(t, { ...secrets, acls: [{ initiator: A, credentials: OWN }, { initiator: B }] });
    const client = await connect(t, it);
    t.is((await chapLogin(client, { initiator, target: IQN, user, secret })).status, status);
  });
}

test('an initiator whose ACL asks for nothing proves nothing, where others must, and sees what its ACL shows', async (t) => {
  const acls = [{ ...MAPPED, credentials: null }, { initiator: B }];
  const it = await serve(t, { ...secrets, acls, others: 'admitted' });
  t.deepEqual(await reportLuns(await session(t, it, A)), [0, 7]);
  for (const initiator of [B, STRANGER]) {
    const client = await connect(t, it);
    t.is(IscsiClient.status(await client.login({ initiator, target: IQN })), 0x0201);
  }
});

const algorithms: [number: string, hash: string][] = [
  ['5', 'md5'],
  ['6', 'sha1'],
  ['7', 'sha256'],
  ['8', 'sha3-256'],
];
for (const algorithm of algorithms) {
  test(`mutual CHAP by ${algorithm[1]}, and no secret in a log`, async (t) => {
    const lines: string[] = [];
    const add = (line: string) => void lines.push(line);
    const it = await startControlled(['ram:1M'], {
      iscsi: options({ acls: [{ initiator: A, credentials: OWN }] }),
      log: { debug: add, info: add, warn: add, error: add },
    });
    t.teardown(() => it.close());
    const login = { initiator: A, target: IQN, user: OWN.user, algorithm };
    const more = [
      ['CHAP_I', '17'],
      ['CHAP_C', '0x0011223344556677'],
    ] as const;
    const client = await connect(t, it);
    const { status, keys } = await chapLogin(client, { ...login, secret: OWN.secret, more });
    t.is(status, LoginStatus.SUCCESS);
    t.is(keys.get('CHAP_N'), OWN.mutualUser);
    t.is(keys.get('CHAP_R'), chapDigest(algorithm[1], '17', OWN.mutualSecret, '0x0011223344556677'));
    const wrong = await chapLogin(await connect(t, it), { ...login, secret: 'a-guess' });
    t.is(wrong.status, LoginStatus.AUTHENTICATION_FAILURE);
    t.true(lines.some((line) => /login refused with status 0201h/.test(line)));
    const said = `${lines.join()}${JSON.stringify(await it.client.call('list', {}))}`;
    for (const secret of [OWN.secret, OWN.mutualSecret]) t.false(said.includes(secret));
  });
}

test("QEMU's initiator writes where it may, and finds the other LUN write-protected", async (t) => {
  const it = await serve(t, { acls: [MAPPED] });
  const { port } = it.server.iscsi!.addresses[0];
  const write = async (lun: number) => {
    const node = { driver: 'iscsi', transport: 'tcp', portal: `127.0.0.1:${port}`, target: IQN, lun };
    const file = `json:${JSON.stringify({ driver: 'raw', file: { ...node, 'initiator-name': A } })}`;
    await promisify(execFile)('qemu-img', ['bench', '-w', '-c', '4', '-t', 'none', file]);
  };
  await t.notThrowsAsync(write(7));
  await t.throwsAsync(write(0), { message: /write protected/i });
});

test("libiscsi's tools see what their ACL lets them", async (t) => {
  const acls: IscsiAcl[] = [{ ...MAPPED, credentials: OWN }];
  const it = await serve(t, { acls });
  const { port } = it.server.iscsi!.addresses[0];
  const run = async (...args: string[]) => (await promisify(execFile)(args[0], args.slice(1))).stdout;
  const proof = `target_user=${OWN.mutualUser}&target_password=${OWN.mutualSecret}`;
  const at = (lun: number) => `iscsi://${OWN.user}%${OWN.secret}@127.0.0.1:${port}/${IQN}/${lun}?${proof}`;
  t.regex(await run('iscsi-inq', '-i', A, at(7)), /Vendor:/);
  t.regex(await run('iscsi-readcapacity16', '-i', A, '-s', at(0)), new RegExp(`^${3 << 20}$`, 'm'));
  await t.throwsAsync(run('iscsi-inq', '-i', B, at(7)), { message: /0?203|not? auth|Authoriz|login/i });
  // Without another secret of discovery's, its list is for whom an ACL names.
  const list = (initiator: string) => run('iscsi-ls', '-i', initiator, `iscsi://127.0.0.1:${port}`);
  t.regex(await list(A), new RegExp(IQN));
  t.notRegex(await list(B), new RegExp(IQN));
});

test('iscsi-ls shows LUNs, and goes on after their first unit attention', async (t) => {
  const it = await serve(t, { others: 'admitted' }, ['ram:1M', 'ram:2M']);
  const url = `iscsi://127.0.0.1:${it.server.iscsi!.addresses[0].port}`;
  const { stdout } = await promisify(execFile)('iscsi-ls', ['-s', url]);
  t.deepEqual(stdout.match(/^Lun:\d/gm), ['Lun:0', 'Lun:1']);
});

test('a target may be kept from iSCSI, or have a name and ACLs of its own', async (t) => {
  const quiet = () => {};
  const own = { name: `${IQN}-own`, acls: [MAPPED], others: 'refused', demo: false } as const;
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const specs = [undefined, null, own].map((iscsi, i) => ({
    sockets: [{ path: `${folder.path}/${i}.sock`, role: 'listen' as const }],
    luns: luns('ram:1M'),
    iscsi,
  }));
  const server = await Server.open(specs, {
    io: 'auto',
    stateDirectory: undefined,
    iscsi: options({ others: 'admitted' }),
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  t.teardown(() => server.close());
  t.deepEqual(
    server.targets.map((target) => server.iscsi!.nameOf(target)),
    [IQN, undefined, own.name],
  );
  const { port } = server.iscsi!.addresses[0];
  const login = async (initiator: string, target: string) => {
    const client = await IscsiClient.open(port);
    t.teardown(() => client.close());
    return IscsiClient.status(await client.login({ initiator, target }));
  };
  t.is(await login(STRANGER, IQN), LoginStatus.SUCCESS);
  t.is(await login(STRANGER, own.name), LoginStatus.AUTHORIZATION_FAILURE);
  t.is(await login(A, own.name), LoginStatus.SUCCESS);
});
