/** Very many connections: those that never log in, those that log in and do nothing, and a flood of logins. */
import test from 'ava';
import { Admission, sourceOf, type Visitor } from '../../../src/fabrics/admission.ts';
import { ComplaintLog } from '../../../src/fabrics/complaint-log.ts';
import { Bhs, InitiatorOpcode, LoginStatus } from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import { IscsiClient } from '../../support/iscsi-client.ts';
import { execute, settle } from '../../support/iscsi-commands.ts';
import { openPortal, TEST_IQN, type TestPortal } from '../../support/iscsi-portal.ts';

/** Where the crowd comes from: another address than everybody else's. */
const ELSEWHERE = '127.0.0.9';
const GOOD = 'iqn.2026-01.example.initiator:good';

function sources(): { visitor: (source: string) => Visitor; closed: string[]; admission: Admission } {
  const admission = new Admission();
  const closed: string[] = [];
  const visitor = (source: string) => {
    const one: Visitor = {
      source,
      close: () => {
        closed.push(source);
        admission.left(one);
      },
      breach: () => one.close(''),
    };
    return one;
  };
  return { visitor, closed, admission };
}

test('a source has 128 strangers, and all have 1024: the oldest of the most crowded goes', (t) => {
  const { visitor, closed, admission } = sources();
  for (let i = 0; i < 200; i++) admission.arrived(visitor('a'));
  t.deepEqual(closed, new Array(72).fill('a'));
  for (let source = 0; source < 8; source++)
    for (let i = 0; i < 113; i++) admission.arrived(visitor(`b${source}`));
  t.is(closed.length, 72 + 8, '128 and 8 times 113, of which 1024 stay');
  t.true(closed.every((source) => source === 'a'));
});

test('a source has 1024 connections in sessions, and all have 4096', (t) => {
  const { visitor, admission } = sources();
  const enter = (source: string) => {
    const one = visitor(source);
    admission.arrived(one);
    if (admission.enter(one)) return one;
    admission.left(one);
    return undefined;
  };
  const first = enter('a')!;
  for (let i = 1; i < 1024; i++) t.truthy(enter('a'));
  t.is(enter('a'), undefined);
  t.truthy(enter('b'));
  for (const source of ['b', 'c', 'd']) for (let i = 0; i < 1024; i++) enter(source);
  t.is(enter('e'), undefined, 'no room for anybody');
  admission.left(first);
  t.truthy(enter('e'), 'there is after one has gone');
});

const addresses: [host: string | undefined, source: string][] = [
  ['192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:db8::6', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  [undefined, 'local'],
];
for (const [host, source] of addresses) {
  test(`${host} is of ${source}`, (t) => t.is(sourceOf(host), source));
}

test('ten complaints in ten seconds are logged, and how many others there were', (t) => {
  const lines: string[] = [];
  let now = 0;
  const log = new ComplaintLog(
    (message) => lines.push(message),
    () => now,
  );
  for (let i = 0; i < 500; i++) log.add(`no ${i}`);
  t.is(lines.length, 10);
  now = 10_000;
  log.add('again');
  log.add('and again');
  t.deepEqual(lines.slice(10), ['again (and 490 more such messages before)', 'and again']);
});

/** Somebody who is logged in and whose commands must go on, and who can still log in anew. */
async function goodInitiator(open: TestPortal): Promise<() => Promise<void>> {
  const client = await IscsiClient.open(open.port);
  await client.login({ target: TEST_IQN, initiator: GOOD });
  await settle(client, 0);
  let isid = 0x800000_100000;
  return async () => {
    const { data } = await execute(client, { cdb: [0x12, 0, 0, 0, 36, 0], dataInLength: 36 });
    if (data.length !== 36) throw new Error('INQUIRY of the session that was there before');
    const another = await IscsiClient.open(open.port);
    const status = IscsiClient.status(
      await another.login({ target: TEST_IQN, initiator: GOOD, isid: isid++ }),
    );
    another.close();
    if (status !== LoginStatus.SUCCESS) throw new Error(`a new login got ${status}`);
  };
}

test.serial('a thousand connections that say nothing harm nobody, and their source keeps 128', async (t) => {
  const open = await openPortal();
  t.teardown(() => open.close());
  const good = await goodInitiator(open);
  const idle = await Promise.all(
    Array.from({ length: 1000 }, () => IscsiClient.open(open.port, '127.0.0.1', ELSEWHERE)),
  );
  await good();
  // The target's word of the end may still be on its way.
  while (idle.filter(({ closed }) => !closed).length > 128)
    await new Promise((resolve) => setImmediate(resolve));
  await good();
  t.is(idle.filter(({ closed }) => !closed).length, 128);
  t.true(open.warnings.length <= 10, 'nor do they fill the log');
  const late = await IscsiClient.open(open.port, '127.0.0.1', ELSEWHERE);
  t.is(IscsiClient.status(await late.login({ target: TEST_IQN })), LoginStatus.SUCCESS, 'from there as well');
  for (const client of [...idle, late]) client.close();
});

test.serial('a thousand sessions that do nothing cost little, and harm nobody', async (t) => {
  const open = await openPortal();
  t.teardown(() => open.close());
  const good = await goodInitiator(open);
  const sessions: IscsiClient[] = [];
  for (let i = 0; i < 1000; i++) {
    const client = await IscsiClient.open(open.port, '127.0.0.1', ELSEWHERE);
    t.is(IscsiClient.status(await client.login({ target: TEST_IQN, isid: i + 1 })), LoginStatus.SUCCESS);
    sessions.push(client);
  }
  await good();
  t.is(sessions.filter(({ closed }) => closed).length, 0);
  await settle(sessions[999], 0);
  t.is(open.core.environment.memory.outstanding, 1, 'the buffer that all receive into');
  for (const client of sessions) client.close();
});

/** A Login Request that ends nothing: text is still to come. */
function endlessLogin(): Buffer {
  const header = Buffer.alloc(48);
  header[Bhs.OPCODE] = InitiatorOpcode.LOGIN | 0x40;
  header[Bhs.FLAGS] = 0x40;
  header.writeUIntBE(1024, Bhs.DATA_LENGTH, 3);
  return Buffer.concat([header, Buffer.alloc(1024, 'a')]);
}

test.serial('a flood of logins that never end does not keep others from their work', async (t) => {
  const open = await openPortal();
  t.teardown(() => open.close());
  const good = await goodInitiator(open);
  let connections = 0;
  let flooding = true;
  const flood = Array.from({ length: 16 }, async (_, i) => {
    while (flooding) {
      const client = await IscsiClient.open(open.port, '127.0.0.1', ELSEWHERE);
      connections++;
      if (i % 2 === 0) for (let n = 0; n < 40; n++) client.socket.write(endlessLogin());
      else await client.login({ target: 'iqn.2026-01.example:nobody' });
      // Half of them stay until they are thrown out.
      if (i % 4 < 2) client.close();
    }
  });
  try {
    for (let i = 0; i < 15 || connections < 500; i++) await good();
  } finally {
    flooding = false;
    await Promise.all(flood);
  }
  t.true(connections >= 500);
  t.deepEqual(open.errors, []);
});

test.serial('who does not finish login in time goes, whatever it sends; who did stays', async (t) => {
  const open = await openPortal({ loginTimeout: 300 });
  t.teardown(() => open.close());
  const good = await goodInitiator(open);
  const [silent, slow] = [await IscsiClient.open(open.port), await IscsiClient.open(open.port)];
  const drip = setInterval(() => slow.socket.write(Buffer.from([InitiatorOpcode.LOGIN])), 20);
  t.is(await silent.next(), undefined);
  t.is(await slow.next(), undefined);
  clearInterval(drip);
  t.true(silent.closed);
  t.true(slow.closed);
  await good();
  t.true(open.warnings.every((line) => /^iSCSI: 127\.0\.0\.1: login took too long$/.test(line)));
});

test.serial('the text of a login has an end', async (t) => {
  const open = await openPortal();
  t.teardown(() => open.close());
  const client = await IscsiClient.open(open.port);
  let answers = 0;
  client.socket.on('error', () => {});
  for (let i = 0; i < 70; i++) client.socket.write(endlessLogin());
  for (let pdu = await client.next(); pdu !== undefined; pdu = await client.next()) {
    answers++;
    if (IscsiClient.status(pdu) !== LoginStatus.SUCCESS) {
      t.is(IscsiClient.status(pdu), LoginStatus.OUT_OF_RESOURCES);
      break;
    }
  }
  t.is(answers, 65, 'the refusal included');
  await client.next();
  t.true(client.closed);
});
