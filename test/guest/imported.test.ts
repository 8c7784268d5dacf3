/** A stock QEMU and a stock Linux on a vhost target that was LIO's: the guest's disks are called what they were. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Guest } from '../../qemu/guest.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { lunport } from '../support/lunport-command.ts';
import { FILE, RAM, SERIAL, VHOST } from '../support/saveconfig.ts';
import { serveConfiguration } from '../support/serve-process.ts';

test('a guest finds the names, LUNs and write protection that LIO gave its disks', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  const path = (name: string) => join(folder.path, name);
  writeFileSync(path('disk.img'), new Uint8Array(8 << 20));
  const [tpg] = VHOST.tpgs;
  const mapped = [
    { index: 0, tpg_lun: 5, write_protect: true, alias: 'a' },
    { index: 3, tpg_lun: 0, write_protect: false, alias: 'b' },
  ];
  const document = {
    storage_objects: [{ ...FILE, dev: path('disk.img') }, RAM],
    targets: [{ ...VHOST, tpgs: [{ ...tpg, node_acls: [{ ...tpg.node_acls[0], mapped_luns: mapped }] }] }],
  };
  writeFileSync(path('saveconfig.json'), JSON.stringify(document));
  await lunport('import', path('saveconfig.json'), '-o', path('lunport.json'));
  const configuration = JSON.parse(readFileSync(path('lunport.json'), 'utf8'));
  const socket = path('vm.sock');
  configuration.targets[0].sockets[0].path = socket;
  writeFileSync(path('lunport.json'), JSON.stringify(configuration));
  const serve = await serveConfiguration(path('lunport.json'));
  t.teardown(() => serve.kill());
  const guest = await Guest.start({ vehicle: 'initrd', vhostUserScsi: [{ socket }] });
  t.teardown(() => guest.close());
  const { status, output } = await guest.exec(`
    for disk in /sys/block/sd*; do
      echo "$(basename $(readlink $disk/device)) $(cat $disk/ro) $(cat $disk/device/vendor) $(cat $disk/device/model) $(cat $disk/device/wwid)"
    done
    cat /sys/block/sd*/device/vpd_pg80 | tr -d '\\0'`);
  t.is(status, 0, output);
  t.regex(output, /:0:0 1 LIO-ORG +ram +naa\.6001405b1/);
  t.regex(output, /:0:3 0 LIO-ORG +disk +naa\.6001405ea54b27a7e2a45c5af31933aa/);
  t.true(output.includes(SERIAL), output);
  await guest.powerOff();
  t.is(await serve.stop(), 0, serve.errors());
});
