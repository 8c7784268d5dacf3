/**
 * Guests that end badly while they write: QEMU killed, a panic, the reset button, a controller unplugged. lunport
 * serves all of them at one socket, one after the other: each finds a disk whose every block is whole and in its
 * place, writes, verifies, and is ended in its turn.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest, type GuestOptions } from '../qemu/guest.ts';
import { LunportChild } from '../qemu/lunport-child.ts';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { complaints } from './kernel-complaints.ts';
import { pause } from './pause.ts';

export interface EndingRoundsResult {
  /** Guests that lived through `fio --verify` after another had ended, or the same one after its reset. */
  readonly verified: number;
  /** Lines in the guests' kernel logs before their end, runs of fio that failed, endings that did not come. */
  readonly guestErrors: number;
  /** Bytes in the image that nobody wrote there. */
  readonly badBytes: number;
  /** What went wrong, in the guest's words. */
  readonly detail: string;
}

/** Ends a guest under load; resolves with true when it lives on, with its disk. */
type Ending = (guest: Guest) => Promise<boolean>;

const MIB = 1 << 20;
/** The image: what the load writes, then what each guest verifies. */
const LOAD_MIB = 32;
const VERIFIED_MIB = 8;
const LOAD_MS = { least: 200, spread: 2000 };
/** A guest that does not come up counts as an error, and a busy machine must not. */
const BOOT_MS = 300_000;
const CHARDEV = 'lunport0';
const DEVICE = 'disk';

/**
 * Random writes without end, in the background, whose every word tells the place of its block. The output is a file,
 * since nobody reads the job's any more. When the disk is unplugged, fio shall not make a file of its name.
 */
const LOAD = `dmesg -c >/dev/null
fio --name=load --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite --bs=4k \
  --size=${LOAD_MIB}M --verify=pattern --verify_pattern=%o --do_verify=0 --time_based --runtime=600 \
  --allow_file_create=0 >/tmp/load 2>&1 &`;

const VERIFIED = `fio --name=check --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
  --bs=64k --offset=${LOAD_MIB}M --size=${VERIFIED_MIB}M --verify=crc32c --verify_fatal=1`;
/** Bytes of a block of the load. */
const BLOCK = 4096;

/** Waits until the disk is gone, or there. */
function until(condition: string): string {
  return `i=0; while [ $i -lt 200 ]; do ${condition} && exit 0; sleep 0.1; i=$((i + 1)); done; dmesg; exit 1`;
}
const GONE = until('[ ! -e /dev/sda ]');
const THERE = until('[ -b /dev/sda ]');

/** The guest's script has to end well. */
async function run(guest: Guest, script: string): Promise<void> {
  const { status, output } = await guest.exec(script);
  if (status !== 0) throw new Error(`a script ended with ${status}: ${output}`);
}

export const ENDINGS: Readonly<Record<string, Ending>> = {
  'kill of QEMU': async (guest) => {
    await guest.kill();
    return false;
  },
  'panic of the guest': async (guest) => {
    const said = await guest.exec('echo c >/proc/sysrq-trigger').then(({ output }) => output, String);
    if (!/panicked: sysrq/.test(said)) throw new Error(`no panic: ${said}`);
    return false;
  },
  'reset of the guest': async (guest) => {
    await guest.reset();
    return true;
  },
  'resets of the guest while its firmware and kernel start': async (guest) => {
    for (const least of [100, 700, 1500]) {
      await guest.qmp('set-action', { reboot: 'reset' });
      await guest.qmp('system_reset');
      await pause({ least, spread: 600 });
    }
    await guest.reset();
    return true;
  },
  'hot unplug of the controller': async (guest) => {
    await Promise.all([guest.qmpEvent('DEVICE_DELETED'), guest.qmp('device_del', { id: DEVICE })]);
    await run(guest, GONE);
    // Plugged in again, through the same connection.
    await guest.qmp('device_add', { driver: 'vhost-user-scsi-pci', id: DEVICE, chardev: CHARDEV });
    await run(guest, THERE);
    return true;
  },
};

/** The controller hangs on the i440FX's root bus, where it can be unplugged; q35's root bus allows no such thing. */
function machine(socket: string): GuestOptions {
  return {
    vehicle: 'initrd',
    machine: 'pc',
    bootTimeoutMs: BOOT_MS,
    initrd: { tools: ['fio'] },
    vhostUserScsi: [{ socket, device: { id: DEVICE } }],
  };
}

/** Ends `rounds` guests, or one guest so many times. @throws Error when a guest did not start, or lunport did not end */
export async function endingRounds(
  ending: Ending,
  rounds: number,
  onRound?: (round: number, loadedMs: number) => void,
): Promise<EndingRoundsResult> {
  const folder = temporaryFolder();
  const image = join(folder.path, 'disk.img');
  const socket = join(folder.path, 'serve.sock');
  writeFileSync(image, freshImage());
  const lunport = await LunportChild.serve([image, '--socket', socket, '--ephemeral']);
  const said: string[] = [];
  let verified = 0;
  let badBytes = 0;
  let guest: Guest | undefined;
  try {
    for (let round = 1; round <= rounds; round++) {
      guest ??= await Guest.start(machine(socket));
      await run(guest, LOAD);
      const loaded = await pause(LOAD_MS);
      said.push(...(await complaints(guest)));
      if (!(await ending(guest))) {
        await guest.close();
        guest = undefined;
      }
      badBytes += misplacedBytes(image);
      guest ??= await Guest.start(machine(socket));
      await run(guest, VERIFIED);
      verified++;
      onRound?.(round, loaded);
    }
    await guest?.powerOff();
    await lunport.stop();
  } catch (error) {
    // What has been counted until here is told as well.
    said.push((error as Error).message, lunport.log);
  } finally {
    await guest?.close();
    await lunport.kill();
    folder.remove();
  }
  return { verified, guestErrors: said.length, badBytes, detail: said.join('\n') };
}

/** As if the load had written every block once. */
function freshImage(): Uint8Array {
  const words = new BigUint64Array(((LOAD_MIB + VERIFIED_MIB) * MIB) / 8);
  for (let i = 0; i < (LOAD_MIB * MIB) / 8; i++) words[i] = BigInt(i * 8 - ((i * 8) % BLOCK));
  return new Uint8Array(words.buffer);
}

/** Whatever was under way when a guest ended was there whole, or is the same as before: its words tell its place. */
function misplacedBytes(image: string): number {
  const found = readFileSync(image);
  const expected = freshImage();
  let bad = 0;
  for (let i = 0; i < LOAD_MIB * MIB; i++) if (found[i] !== expected[i]) bad++;
  return bad;
}
