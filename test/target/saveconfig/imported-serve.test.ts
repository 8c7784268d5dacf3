/** From saveconfig.json to initiators of others, which find what they knew from LIO, and back. */
import { execFile } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { freePort } from '../../support/free-port.ts';
import { lunport } from '../../support/lunport-command.ts';
import { ACL, CLIENT, FILE, IQN, ISCSI, SAVECONFIG, SERIAL, TPG, VHOST } from '../../support/saveconfig.ts';
import { serveConfiguration } from '../../support/serve-process.ts';

const run = async (...[command, ...args]: string[]) => (await promisify(execFile)(command, args)).stdout;

test('an imported target is found with its names and secrets, and a disk added since goes back to LIO', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = (name: string) => join(folder.path, name);
  const port = await freePort();
  const lun = [{ index: 0, tpg_lun: 0, write_protect: false, alias: '1' }];
  const tpg = {
    ...TPG,
    portals: [{ ip_address: '127.0.0.1', port, iser: false }],
    node_acls: [
      {
        ...ACL,
        chap_mutual_userid: '',
        chap_mutual_password: '',
        chap_password: 'password1234',
        mapped_luns: lun,
      },
    ],
  };
  const document = {
    ...SAVECONFIG,
    storage_objects: [{ ...FILE, dev: path('disk.img') }, SAVECONFIG.storage_objects[1]],
    targets: [{ ...ISCSI, tpgs: [tpg] }, VHOST, { fabric: 'srpt', wwn: 'ib.fe80', tpgs: [] }],
  };
  writeFileSync(path('disk.img'), new Uint8Array(1 << 20));
  writeFileSync(path('saveconfig.json'), JSON.stringify(document));
  const output = path('lunport.json');
  await t.throwsAsync(lunport('import', path('saveconfig.json'), '-o', output), {
    code: 1,
    message: /left out: \/srpt\/ib\.fe80: SRP/,
  });
  t.is(statSync(output).mode & 0o777, 0o600);
  // Sockets get names of their own in the test's folder.
  const configuration = JSON.parse(readFileSync(output, 'utf8'));
  configuration.targets[0].sockets = [{ path: 'iscsi.sock' }];
  configuration.targets[1].sockets[0].path = 'vhost.sock';
  writeFileSync(output, JSON.stringify(configuration));
  const serve = await serveConfiguration(output);
  t.teardown(() => serve.kill());
  const url = (secret: string) => `iscsi://user%${secret}@127.0.0.1:${port}/${IQN}/0`;
  const inquiry = await run('iscsi-inq', '-i', CLIENT, url('password1234'));
  t.regex(inquiry, /Vendor:LIO-ORG/);
  t.regex(inquiry, /Product:disk/);
  t.true(
    (await run('iscsi-inq', '-i', CLIENT, '-e', '1', '-c', '128', url('password1234'))).includes(SERIAL),
  );
  const names = await run('iscsi-inq', '-i', CLIENT, '-e', '1', '-c', '131', url('password1234'));
  t.regex(names, /LIO-ORG disk:ea54b27a-7e2a-45c5-af31-933aa92c0bd1/);
  t.notRegex(
    names,
    /naa\.6001405/i,
    'no name string of the unit: Linux would call the disk by it, in capitals',
  );
  await t.throwsAsync(run('iscsi-inq', '-i', CLIENT, url('password0000')));
  await t.throwsAsync(run('iscsi-inq', '-i', `${CLIENT}2`, url('password1234')));
  // The vhost guest's LUN 0 is the target's LUN 5, write-protected.
  const [{ naa }] = JSON.parse((await lunport('list', path('vhost.sock'), '--json')).stdout).targets[1].luns;
  t.is(naa, 'naa.6001405ea54b27a7e2a45c5af31933aa');
  await lunport('add', path('iscsi.sock'), 'ram:1M,serial=new');
  await lunport('export', path('iscsi.sock'), '-o', path('back.json'));
  const back = JSON.parse(readFileSync(path('back.json'), 'utf8'));
  t.deepEqual(back.targets.slice(1), document.targets.slice(1));
  t.like(back.storage_objects[2], { plugin: 'ramdisk', name: 'ram-1', wwn: 'new', size: 1 << 20 });
  t.is(back.targets[0].tpgs[0].luns.length, 3);
  t.is(await serve.stop(), 0);
});
