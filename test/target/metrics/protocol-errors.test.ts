/** Peers that break the protocol are counted, and nobody else is. */
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'ava';
import { LoginStatus } from '../../../src/fabrics/iscsi/iscsi-spec.ts';
import type { Sample } from '../../../src/target/metrics/families.ts';
import { serverSamples } from '../../../src/target/metrics/server-samples.ts';
import type { Server } from '../../../src/target/server.ts';
import { startControlled } from '../../support/control.ts';
import { IscsiClient } from '../../support/iscsi-client.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';
import { bootGuest, eventually } from '../../support/vhost-user/served.ts';

const TARGET = { acls: [], others: 'admitted', demo: false } as const;

function value(server: Server, name: Sample['name']): number | undefined {
  return serverSamples(server).find((sample) => sample.name === name)?.value;
}

test('a front-end that goes is no protocol error, one that sends nonsense is', async (t) => {
  const it = await startControlled(['ram:1M']);
  t.teardown(() => it.close());
  const errors = () => value(it.server, 'lunport_vhost_user_protocol_errors_total');
  const connections = () => value(it.server, 'lunport_vhost_user_connections_total');
  (await bootGuest(FrontEnd.connect(it.socketPath))).leave();
  await eventually(() => value(it.server, 'lunport_vhost_user_connected') === 0);
  t.deepEqual([connections(), errors()], [1, 0]);
  const stranger = connect(it.socketPath);
  stranger.on('error', () => {});
  // Request 0xffffffff, version 1, no payload.
  stranger.write(Buffer.from('ffffffff0100000000000000', 'hex'));
  await once(stranger.resume(), 'close');
  await eventually(() => errors() === 1);
  t.is(connections(), 2);
});

test('an initiator that logs in and out is no protocol error, a stranger is', async (t) => {
  const it = await startControlled(['ram:1M'], {
    iscsi: { addresses: [{ host: '127.0.0.1', port: 0 }], target: TARGET },
  });
  t.teardown(() => it.close());
  const errors = () => value(it.server, 'lunport_iscsi_protocol_errors_total');
  const { port } = it.server.iscsi!.addresses[0];
  const client = await IscsiClient.open(port);
  const [target] = it.server.targets;
  const login = { initiator: 'iqn.2026-01.example.lunport:x', target: it.server.iscsi!.nameOf(target)! };
  t.is(IscsiClient.status(await client.login(login)), LoginStatus.SUCCESS);
  client.socket.destroy();
  await eventually(() => target.nexuses().length === 1);
  t.is(errors(), 0);
  const stranger = connect(port, '127.0.0.1');
  stranger.on('error', () => {});
  stranger.write('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: somebody who is lost\r\n\r\n');
  await once(stranger.resume(), 'close');
  await eventually(() => errors() === 1);
});
