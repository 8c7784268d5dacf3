/**
 * `make demo`: boots a stock Debian from a disk that lunport serves, lets it look at the disk, write to it and
 * read back, and finds the same bytes in the image afterwards. Leaves nothing behind but the cached image.
 *
 *   node dist/qemu/demo.js [--firmware ovmf] [--console] [--without-lunport]
 *
 * --console shows firmware and kernel as well. --without-lunport attaches the image by QEMU's own virtio-scsi:
 * when that fails too, the fault is not lunport's.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { showProgress } from './debian-tree.ts';
import { copyDiskImage, extractFromDisk } from './disk-image.ts';
import type { Firmware } from './firmware.ts';
import { GuestError } from './guest-error.ts';
import { LunportChild } from './lunport-child.ts';
import type { MachineOptions } from './machine.ts';
import { guestScript } from './package-root.ts';
import { runGuest } from './run.ts';
import { temporaryFolder } from './temporary-folder.ts';

const TIMEOUT_MS = 120_000;

interface DemoOptions {
  readonly firmware: Firmware;
  readonly console: boolean;
  readonly withoutLunport: boolean;
}

function readOptions(): DemoOptions {
  const { values } = parseArgs({
    options: {
      firmware: { type: 'string', default: 'seabios' },
      console: { type: 'boolean', default: false },
      'without-lunport': { type: 'boolean', default: false },
    },
  });
  const { firmware } = values;
  if (firmware !== 'seabios' && firmware !== 'ovmf') {
    throw new GuestError('BAD_OPTION', `expected --firmware seabios or ovmf but received "${firmware}"`);
  }
  return { firmware, console: values.console, withoutLunport: values['without-lunport'] };
}

function say(text: string): void {
  process.stdout.write(`demo: ${text}\n`);
}

/** The checksum that the guest computed, once it is sure that it reads what it wrote. */
function checksumIn(output: string): string {
  const match = /^read +([0-9a-f]{64})$/m.exec(output);
  if (match === null) throw new GuestError('JOB_FAILED', 'the guest reported no checksum');
  return match[1];
}

async function demo(options: DemoOptions): Promise<void> {
  const started = performance.now();
  const folder = temporaryFolder();
  let lunport: LunportChild | undefined;
  try {
    const image = await copyDiskImage(join(folder.path, 'disk.img'), showProgress);
    const socket = join(folder.path, 'disk.sock');
    let disk: Partial<MachineOptions> = { disks: [{ file: image, bootIndex: 0 }] };
    if (!options.withoutLunport) {
      lunport = await LunportChild.serve([image, '--socket', socket, '--ephemeral', '--log-level', 'warn']);
      disk = { vhostUserScsi: [{ socket, bootIndex: 0 }] };
      say(`lunport serves a copy of the image, process ${lunport.pid}`);
    }
    say(`QEMU boots it by ${options.firmware}`);
    const result = await runGuest({
      vehicle: 'disk',
      firmware: options.firmware,
      ...disk,
      job: guestScript('demo-job.sh'),
      timeoutMs: TIMEOUT_MS,
      onOutput: (text) => process.stdout.write(text),
      onConsole: options.console ? (text) => process.stderr.write(text) : undefined,
    });
    if (result.exitCode !== 0) {
      throw new GuestError('JOB_FAILED', `the guest's job ended with exit code ${result.exitCode}`, {
        detail: result.console.slice(-2000),
        hint: 'the last command shown above failed; qemu/guest/demo-job.sh is the script',
      });
    }
    await lunport?.stop();
    const file = await readFile(
      await extractFromDisk(image, '/root/lunport-demo', join(folder.path, 'file')),
    );
    if (createHash('sha256').update(file).digest('hex') !== checksumIn(result.output)) {
      throw new GuestError('JOB_FAILED', 'the image does not contain what the guest wrote and synced');
    }
    const from = options.withoutLunport ? "QEMU's own virtio-scsi" : 'lunport';
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(
      `guest booted from ${from} in ${result.bootSeconds.toFixed(1)} s, identity, write and read back ok, ` +
        `the host finds the same bytes in the image; ${seconds} s in all`,
    );
  } catch (error) {
    if (lunport?.log) process.stderr.write(`lunport's log:\n${lunport.log}`);
    throw error;
  } finally {
    await lunport?.kill();
    folder.remove();
  }
}

try {
  await demo(readOptions());
} catch (error) {
  process.stderr.write(`demo: failed: ${error instanceof Error ? error.message : String(error)}\n`);
  if (!process.argv.includes('--without-lunport')) {
    process.stderr.write('demo: is it lunport? make demo ARGS=--without-lunport uses QEMU alone\n');
  }
  process.exitCode = 1;
}
