import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { modulesInOrder } from '../../qemu/kernel-modules.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-modules-'));
test.after.always(() => rmSync(folder, { recursive: true }));
writeFileSync(
  join(folder, 'modules.dep'),
  'kernel/sd_mod.ko: kernel/scsi_mod.ko kernel/scsi-common.ko\nkernel/scsi_mod.ko: kernel/scsi-common.ko\nkernel/scsi-common.ko:\n',
);
writeFileSync(join(folder, 'modules.builtin'), 'kernel/fs/ext4/ext4.ko\n');

test('a module comes after all that it needs, and each once', (t) => {
  t.deepEqual(modulesInOrder(folder, ['scsi_mod', 'sd_mod']), [
    'kernel/scsi-common.ko',
    'kernel/scsi_mod.ko',
    'kernel/sd_mod.ko',
  ]);
});

test('dashes and underscores are the same, as for modprobe', (t) => {
  t.deepEqual(modulesInOrder(folder, ['scsi_common']), modulesInOrder(folder, ['scsi-common']));
});

test('what is in the kernel itself needs no file', (t) => {
  t.deepEqual(modulesInOrder(folder, ['ext4']), []);
});

test('an unknown module is named', (t) => {
  t.throws(() => modulesInOrder(folder, ['sdmod']), { message: /no module "sdmod"/ });
});
