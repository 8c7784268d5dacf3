/** QEMU's own iSCSI initiator (libiscsi): images in and out, and guests that boot from a target. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { copyDiskImage } from '../../qemu/disk-image.ts';
import { runGuest } from '../../qemu/run.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { startServe } from '../support/serve-process.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());

const ANY_PORT = { serveArguments: ['--iscsi', '127.0.0.1:0'] };

async function qemuImg(...args: string[]): Promise<string> {
  return (await promisify(execFile)('qemu-img', args)).stdout;
}

test.serial('qemu-img copies an image in and out, and finds no difference', async (t) => {
  const image = await copyDiskImage(join(folder.path, 'original.img'));
  const copy = join(folder.path, 'copy.img');
  const serve = await startServe(['ram:1G'], ANY_PORT);
  t.teardown(() => serve.stop());
  const [url] = serve.iscsi;
  await qemuImg('convert', '-n', '-f', 'raw', '-O', 'raw', image, url);
  // The disk is larger than the image: zeroes behind it are no difference.
  t.regex(await qemuImg('compare', '-f', 'raw', '-F', 'raw', image, url), /Images are identical/);
  await qemuImg('convert', '-f', 'raw', '-O', 'raw', url, copy);
  t.regex(await qemuImg('compare', '-f', 'raw', '-F', 'raw', image, copy), /Images are identical/);
});

/** QEMU's view of a LUN, behind an adapter of its own. */
function attached(adapter: string, url: string, properties = ''): string[] {
  return [
    ...['-device', `${adapter},id=${adapter}`],
    ...['-drive', `if=none,id=disk-${adapter},format=raw,file=${url}`],
    ...['-device', `scsi-block,bus=${adapter}.0,drive=disk-${adapter}${properties}`],
  ];
}

// Debian's cloud kernel drives none of the old adapters: firmware and GRUB load it through them, and it finds the
// same LUN behind virtio-scsi.
const boots: [title: string, firmware: 'seabios' | 'ovmf', old: string | undefined][] = [
  ['virtio-scsi, by SeaBIOS', 'seabios', undefined],
  ['virtio-scsi, by OVMF', 'ovmf', undefined],
  ['an LSI 53C895A', 'seabios', 'lsi53c895a'],
  ['a MegaRAID', 'seabios', 'megasas'],
];
for (const [title, firmware, old] of boots) {
  test.serial(`a guest boots from an iSCSI disk behind ${title}`, async (t) => {
    const file = join(folder.path, `${firmware}-${old}.img`);
    const serve = await startServe([await copyDiskImage(file)], ANY_PORT);
    t.teardown(() => serve.stop());
    const [url] = serve.iscsi;
    const first = ',bootindex=0';
    const { exitCode, output } = await runGuest({
      vehicle: 'disk',
      firmware,
      extraArgs: [
        ...(old === undefined ? [] : attached(old, url, first)),
        ...attached('virtio-scsi-pci', url, old === undefined ? first : ''),
      ],
      job: 'findmnt -n -o FSTYPE /; lsscsi; dd if=/dev/zero of=/after bs=1M count=8 conv=fsync; exit 3',
    });
    t.is(exitCode, 3, output);
    t.regex(output, /^ext4\n.*LUNPORT/);
  });
}

test.serial('iPXE boots a guest over the network: SeaBIOS, GRUB and kernel come through iSCSI', async (t) => {
  const serve = await startServe([await copyDiskImage(join(folder.path, 'ipxe.img'))], ANY_PORT);
  t.teardown(() => serve.stop());
  const [url] = serve.iscsi;
  const [, port, target] = /:(\d+)\/([^/]+)\/0$/.exec(url)!;
  // QEMU's network answers DHCP and TFTP, and shows this machine's loopback as 10.0.2.2.
  const script = `#!ipxe\nset initiator-iqn iqn.2026-01.example:ipxe\nsanboot iscsi:10.0.2.2:6:${port}:0:${target}\n`;
  const tftp = temporaryFolder();
  t.teardown(() => tftp.remove());
  writeFileSync(join(tftp.path, 'boot.ipxe'), script);
  const { exitCode, output } = await runGuest({
    vehicle: 'disk',
    extraArgs: [
      ...['-netdev', `user,id=net,tftp=${tftp.path},bootfile=boot.ipxe`],
      ...['-device', 'virtio-net-pci,netdev=net,bootindex=0'],
      // Firmware may not fall back to the disk behind virtio-scsi, which is for the kernel alone.
      ...['-boot', 'strict=on'],
      ...attached('virtio-scsi-pci', url),
    ],
    job: 'findmnt -n -o FSTYPE /; lsscsi; exit 3',
  });
  t.is(exitCode, 3, output);
  t.regex(output, /^ext4\n.*LUNPORT/);
});
