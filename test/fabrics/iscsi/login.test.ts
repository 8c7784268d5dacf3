import test from 'ava';
import { LoginStatus } from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import type { AccessControl } from '../../../src/fabrics/iscsi/target-node.ts';
import { IscsiClient, type LoginOptions } from '../../support/iscsi-client.ts';
import { openPortal, TEST_IQN, type TestPortal } from '../../support/iscsi-portal.ts';

const ONLY_A: AccessControl = {
  admits: (name) => name === 'iqn.2026-01.example.initiator:a',
  credentials: (name) => (name.endsWith(':secret') ? { user: 'u', secret: 's' } : undefined),
};

let open: TestPortal;
test.before(async () => {
  open = await openPortal({ access: ONLY_A });
});
test.after.always(() => open.close());

const logins: [title: string, options: LoginOptions, status: number][] = [
  ['a normal session', { target: TEST_IQN }, LoginStatus.SUCCESS],
  ['a target name in capitals', { target: TEST_IQN.toUpperCase() }, LoginStatus.SUCCESS],
  ['a discovery session', {}, LoginStatus.SUCCESS],
  ['a target that does not exist', { target: 'iqn.2026-01.example:nobody' }, LoginStatus.NOT_FOUND],
  [
    'an initiator that is not on the list',
    { target: TEST_IQN, initiator: 'iqn.2026-01.example:x' },
    LoginStatus.AUTHORIZATION_FAILURE,
  ],
  [
    'an initiator name with an underscore',
    { target: TEST_IQN, initiator: 'iqn.2008-11.org.linux-kvm:my_vm' },
    LoginStatus.AUTHORIZATION_FAILURE,
  ],
  [
    'an initiator name that is none',
    { target: TEST_IQN, initiator: 'nonsense' },
    LoginStatus.INITIATOR_ERROR,
  ],
  ['a session that does not exist', { target: TEST_IQN, tsih: 77 }, LoginStatus.SESSION_DOES_NOT_EXIST],
];

for (const [title, options, status] of logins) {
  test(`${title} is answered ${status.toString(16).padStart(4, '0')}h`, async (t) => {
    const client = await IscsiClient.open(open.port);
    t.is(IscsiClient.status(await client.login({ isid: 0x800000_100000 + status, ...options })), status);
    client.close();
  });
}

const keys: [key: string, offer: string, answer: string | undefined][] = [
  ['HeaderDigest', 'CRC32C,None', 'CRC32C'],
  ['HeaderDigest', 'None,CRC32C', 'None'],
  ['DataDigest', 'SHA9', 'Reject'],
  ['MaxBurstLength', '16776192', '1048576'],
  ['MaxBurstLength', '4096', '4096'],
  ['MaxBurstLength', '1', 'Reject'],
  ['FirstBurstLength', '0x10000', '65536'],
  ['MaxOutstandingR2T', '65535', '8'],
  ['ErrorRecoveryLevel', '2', '0'],
  ['InitialR2T', 'No', 'No'],
  ['ImmediateData', 'Yes', 'Yes'],
  ['ImmediateData', 'Maybe', 'Reject'],
  ['DefaultTime2Wait', '0', '0'],
  ['DefaultTime2Wait', '5', '5'],
  ['iSCSIProtocolLevel', '2', '1'],
  ['hasOwnProperty', '1', 'NotUnderstood'],
  ['constructor', '1', 'NotUnderstood'],
  ['DataPDUInOrder', 'No', 'Yes'],
  ['IFMarker', 'Yes', 'No'],
  ['X-com.example.unknown', '1', 'NotUnderstood'],
];

for (const [key, offer, answer] of keys) {
  test(`${key}=${offer} is answered ${answer}`, async (t) => {
    const client = await IscsiClient.open(open.port);
    const response = await client.login({ target: TEST_IQN, isid: 0x800000_200000, keys: [[key, offer]] });
    t.is(IscsiClient.keys(response).get(key), answer);
    client.close();
  });
}

test('FirstBurstLength is never answered beyond MaxBurstLength, in whatever order they are offered', async (t) => {
  for (const order of [
    ['FirstBurstLength', 'MaxBurstLength'],
    ['MaxBurstLength', 'FirstBurstLength'],
  ]) {
    const client = await IscsiClient.open(open.port);
    const keys = order.map((key) => [key, key === 'MaxBurstLength' ? '4096' : '65536'] as const);
    const answers = IscsiClient.keys(await client.login({ target: TEST_IQN, isid: 0x800000_250000, keys }));
    t.is(answers.get('FirstBurstLength'), '4096');
    client.close();
  }
});

test('in the security stage, keys of another stage are rejected and unknown ones not understood', async (t) => {
  const client = await IscsiClient.open(open.port);
  const response = await client.login({
    target: TEST_IQN,
    isid: 0x800000_260000,
    flags: 0x81,
    keys: [
      ['AuthMethod', 'CHAP,None'],
      ['HeaderDigest', 'CRC32C'],
      ['X-com.example', '1'],
    ],
  });
  const answers = IscsiClient.keys(response);
  t.is(answers.get('AuthMethod'), 'None');
  t.is(answers.get('HeaderDigest'), 'Reject');
  t.is(answers.get('X-com.example'), 'NotUnderstood');
  const again = await client.login({ target: TEST_IQN, flags: 0x87, keys: [['DataDigest', 'None']] });
  t.is(IscsiClient.status(again), LoginStatus.SUCCESS);
  client.close();
});

test('AuthMethod is negotiated once', async (t) => {
  const client = await IscsiClient.open(open.port);
  const login = () =>
    client.login({ target: TEST_IQN, isid: 0x800000_270000, flags: 0, keys: [['AuthMethod', 'None']] });
  t.is(IscsiClient.status(await login()), LoginStatus.SUCCESS);
  t.is(IscsiClient.status(await login()), LoginStatus.INITIATOR_ERROR);
  client.close();
});

test('the first answer names the portal group and our segment length', async (t) => {
  const client = await IscsiClient.open(open.port);
  const answers = IscsiClient.keys(await client.login({ target: TEST_IQN, isid: 0x800000_300000 }));
  t.is(answers.get('TargetPortalGroupTag'), '1');
  t.is(answers.get('MaxRecvDataSegmentLength'), '262144');
  client.close();
});

test('who must prove something cannot skip the security stage', async (t) => {
  const secret = await openPortal({
    access: { admits: () => true, credentials: () => ({ user: 'u', secret: 's' }) },
  });
  const client = await IscsiClient.open(secret.port);
  t.is(IscsiClient.status(await client.login({ target: TEST_IQN })), LoginStatus.AUTHENTICATION_FAILURE);
  await secret.close();
});

test('the same initiator and ISID again reinstates the session', async (t) => {
  const first = await IscsiClient.open(open.port);
  await first.login({ target: TEST_IQN, isid: 0x800000_400000 });
  const second = await IscsiClient.open(open.port);
  t.is(
    IscsiClient.status(await second.login({ target: TEST_IQN, isid: 0x800000_400000 })),
    LoginStatus.SUCCESS,
  );
  t.is(await first.next(), undefined);
  t.true(first.closed);
  second.close();
});
