import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GuestError } from './guest-error.ts';

export type Firmware = 'seabios' | 'ovmf';

/** OVMF as distributions install it: code, and the template of its variables. Secure Boot variants left out. */
const OVMF = [
  ['/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/OVMF/OVMF_VARS_4M.fd'], // Debian, Ubuntu
  ['/usr/share/OVMF/OVMF_CODE.fd', '/usr/share/OVMF/OVMF_VARS.fd'], // the same, older
  ['/usr/share/edk2/ovmf/OVMF_CODE.fd', '/usr/share/edk2/ovmf/OVMF_VARS.fd'], // Fedora
  ['/usr/share/edk2/x64/OVMF_CODE.4m.fd', '/usr/share/edk2/x64/OVMF_VARS.4m.fd'], // Arch
] as const;

/** SeaBIOS is QEMU's own choice; OVMF writes its variables to a copy in `folder`. */
export async function firmwareArguments(firmware: Firmware, folder: string): Promise<string[]> {
  if (firmware === 'seabios') return [];
  const found = OVMF.find((files) => files.every((file) => existsSync(file)));
  if (found === undefined) {
    throw new GuestError('PROGRAM_MISSING', 'the firmware OVMF is not installed', {
      hint: 'apt-get install ovmf',
    });
  }
  const [code, template] = found;
  const variables = join(folder, 'ovmf-variables.fd');
  await copyFile(template, variables);
  return [
    ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${code}`],
    ...['-drive', `if=pflash,format=raw,unit=1,file=${variables}`],
  ];
}
