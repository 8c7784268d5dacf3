/**
 * Which accelerator to use. That /dev/kvm is there, can be opened and even runs firmware says little: on some
 * nested hosts guests hang a second later. So a Debian kernel has to get to its first program in it, once per
 * boot of this machine and QEMU.
 */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, recipeKey } from './cache.ts';
import { Cpio } from './cpio.ts';
import { ensureDebianTree, kernelOf, type Progress, showProgress } from './debian-tree.ts';
import { GuestError } from './guest-error.ts';
import { spawnOwned } from './owned-child.ts';
import { temporaryFolder } from './temporary-folder.ts';

export type Accelerator = 'kvm' | 'tcg';

export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  /** Why, in words. */
  readonly reason: string;
}

/** A working KVM needs less than a second; the rest is for a busy machine. A wrong "no" costs only speed. */
const PROBE_MS = 4000;
const WORD = 'lunport-kvm-works';
const INIT = `#!/busybox sh\n/busybox echo ${WORD} >/dev/console\n/busybox poweroff -f\n`;

async function probeInitrd(tree: string): Promise<Buffer> {
  const cpio = new Cpio();
  cpio.file('/busybox', await readFile(join(tree, 'usr/bin/busybox')), 0o755);
  cpio.file('/init', INIT, 0o755);
  cpio.device('/dev/console', 5, 1);
  return cpio.finish();
}

/** Boots the kernel; answers null when it reached its first program, else what happened instead. */
async function bootUnderKvm(qemu: readonly string[], kernel: string, initrd: string): Promise<string | null> {
  const args = [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-accel', 'kvm', '-cpu', 'host'],
    ...['-machine', 'q35', '-m', '256M', '-smp', '2', '-serial', 'stdio'],
    ...['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1'],
  ];
  const child = spawnOwned([...qemu, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  return await new Promise((resolve) => {
    let console = '';
    let errors = '';
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, PROBE_MS);
    child.stdout?.on('data', (bytes: Buffer) => {
      console += bytes.toString();
    });
    child.stderr?.on('data', (bytes: Buffer) => {
      errors += bytes.toString();
    });
    child.once('error', (error) => resolve(error.message));
    child.once('close', () => {
      clearTimeout(timer);
      if (console.includes(WORD)) resolve(null);
      else if (late) resolve(`a guest in it hung for ${PROBE_MS / 1000} s`);
      else resolve(errors.trim().split('\n')[0] || 'the guest ended early');
    });
  });
}

async function probe(qemu: readonly string[], progress: Progress): Promise<AcceleratorChoice> {
  const debian = await ensureDebianTree(progress);
  const folder = temporaryFolder();
  try {
    const initrd = join(folder.path, 'probe.cpio');
    await writeFile(initrd, await probeInitrd(join(debian, 'tree')));
    const failure = await bootUnderKvm(qemu, (await kernelOf(debian)).image, initrd);
    if (failure === null) return { accelerator: 'kvm', reason: 'KVM works here' };
    return { accelerator: 'tcg', reason: `KVM does not work here: ${failure}` };
  } finally {
    folder.remove();
  }
}

/**
 * KVM if it works with this QEMU, else TCG. LUNPORT_ACCEL=kvm or tcg decides without looking.
 *
 * @param qemu the program's path and its first arguments
 */
export async function chooseAccelerator(
  qemu: readonly string[],
  progress: Progress = showProgress,
): Promise<AcceleratorChoice> {
  const wanted = process.env['LUNPORT_ACCEL'];
  if (wanted === 'kvm' || wanted === 'tcg') return { accelerator: wanted, reason: `LUNPORT_ACCEL=${wanted}` };
  if (wanted) throw new GuestError('BAD_OPTION', `LUNPORT_ACCEL is "${wanted}", but must be kvm or tcg`);
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return { accelerator: 'tcg', reason: '/dev/kvm is not there, or not for this user' };
  }
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  const key = recipeKey(bootId, qemu.join('\0'), String(statSync(qemu[0]).mtimeMs));
  const path = await cached(`kvm-${key}`, async (unfinished) => {
    progress('trying KVM');
    const choice = await probe(qemu, progress);
    progress(choice.reason);
    await writeFile(unfinished, JSON.stringify(choice));
  });
  return JSON.parse(await readFile(path, 'utf8')) as AcceleratorChoice;
}
