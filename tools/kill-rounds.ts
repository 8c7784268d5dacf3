/**
 * A guest that writes and verifies without a pause, and a lunport that is killed by SIGKILL at random moments and
 * started again by a supervisor, or replaced by a new one that takes its sockets over. QEMU reconnects; the guest may
 * notice a pause, and nothing else.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { Guest } from '../qemu/guest.ts';
import { LunportChild } from '../qemu/lunport-child.ts';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { complaints } from './kernel-complaints.ts';
import { COMMANDS, COMMANDS_DISK, COMMANDS_DONE, COMMANDS_LOG } from './kill-commands.ts';
import { pause } from './pause.ts';

export interface KillRoundsOptions {
  readonly rounds: number;
  /** A QEMU that reconnects. */
  readonly qemu: readonly string[];
  /** `serve --takeover` instead of a kill and a new start. */
  readonly upgrade?: boolean;
  /** After each round; nobody is dead between the processes of an upgrade. */
  readonly onRound?: (round: number, aliveMs: number, deadMs: number) => void;
}

export interface KillRoundsResult {
  readonly rounds: number;
  /** Lines in the guest's kernel log that tell of a failed or slow request, runs of fio and other commands that failed. */
  readonly guestErrors: number;
  /** Bytes that fio read otherwise than it had written them. */
  readonly badBytes: number;
  /** Runs of fio, each of which wrote its whole range and read it back. */
  readonly passes: number;
  /** Rounds of COMPARE AND WRITE, UNMAP and a look at the reservation. */
  readonly commandRounds: number;
  /** What went wrong, in the guest's words. */
  readonly detail: string;
}

const DISK = 'ID_LUNPORT_SOAK';
const DISK_MIB = 64;
const ALIVE_MS = { least: 100, spread: 2500 };
const DEAD_MS = { least: 0, spread: 1500 };
const FIO_END_MS = 120_000;

const FIND_DISK = `for each in /sys/block/sd*; do
  grep -q ${DISK} "$each/device/vpd_pg80" && disk=/dev/\${each##*/}
done
[ -n "$disk" ] || exit 9
`;

/** Random blocks of random lengths, so that requests of one segment and of many are in flight. */
const FIO = [
  'fio --name=soak --filename=$disk --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite',
  '--bsrange=4k-64k --bs_unaligned=0 --size=24M --verify=crc32c --verify_fatal=0 --verify_dump=0',
  '--randrepeat=0 --continue_on_error=verify',
].join(' ');

/** The log line starts with `pass` when a run ended well. */
const WRITER = `${FIND_DISK}
dmesg -n 1
dmesg -c >/dev/null
(
  until [ -e /tmp/stop ]; do
    if ${FIO} >/tmp/fio 2>&1; then echo pass; else echo "fio ended with $?"; fi
    grep -E 'verify|err= *[1-9]' /tmp/fio
  done
  touch /tmp/done
) >/tmp/log 2>&1 &
`;

const STOP = `touch /tmp/stop; until [ -e /tmp/done ] && [ -e ${COMMANDS_DONE} ]; do sleep 0.1; done; cat /tmp/log`;
const CHECKSUM = `${FIND_DISK} dd if=$disk bs=1M iflag=direct 2>/dev/null | sha256sum | cut -c 1-64`;

const BAD_BLOCK = /verify: bad|verify failed/;

/** Runs the rounds, and then checks every byte. @throws GuestError when the guest or lunport did not start */
export async function killRounds(options: KillRoundsOptions): Promise<KillRoundsResult> {
  const folder = temporaryFolder();
  const image = join(folder.path, 'disk.img');
  const socket = join(folder.path, 'serve.sock');
  const disks = [
    `${image},create,size=${DISK_MIB}M,serial=${DISK}`,
    `${join(folder.path, 'commands.img')},create,size=${DISK_MIB}M,serial=${COMMANDS_DISK}`,
  ];
  const start = (...more: string[]) =>
    LunportChild.serve([...disks, '--socket', socket, '--state', join(folder.path, 'state'), ...more]);
  let lunport = await start();
  let guest: Guest | undefined;
  try {
    guest = await Guest.start({
      vehicle: 'initrd',
      initrd: { tools: ['fio', 'sg3-utils'] },
      qemu: options.qemu,
      vhostUserScsi: [{ socket, chardev: { 'reconnect-ms': 1000 } }],
    });
    for (const script of [WRITER, COMMANDS]) {
      const { status, output } = await guest.exec(script);
      if (status !== 0) throw new Error(`the guest's load ended with ${status}: ${output}`);
    }
    for (let round = 1; round <= options.rounds; round++) {
      const alive = await pause(ALIVE_MS);
      let dead = 0;
      const old = lunport;
      if (options.upgrade) {
        lunport = await start('--takeover');
        await old.stop();
      } else {
        await old.kill();
        dead = await pause(DEAD_MS);
        lunport = await start();
      }
      options.onRound?.(round, alive, dead);
    }
    await pause(ALIVE_MS);
    const log = await guest.exec(STOP, { timeoutMs: FIO_END_MS });
    const commands = await guest.exec(`cat ${COMMANDS_LOG}`);
    const kernel = await complaints(guest);
    const seen = await guest.exec(CHECKSUM);
    await guest.powerOff();
    await lunport.stop();
    const verdict = judge(options.rounds, log.output, commands.output, kernel);
    if (seen.output.trim() === (await sha256(image))) return verdict;
    const detail = `${verdict.detail}\nthe guest read another disk than the image is`;
    return { ...verdict, detail, badBytes: Math.max(1, verdict.badBytes) };
  } finally {
    await guest?.close();
    await lunport.kill();
    folder.remove();
  }
}

function judge(rounds: number, log: string, commands: string, kernel: string[]): KillRoundsResult {
  const lines = log.split('\n').filter(Boolean);
  const commandLines = commands.split('\n').filter(Boolean);
  const failedCommands = commandLines.filter((line) => line !== 'round');
  const failedRuns = lines.filter((line) => line.startsWith('fio ended'));
  const badBytes = lines
    .filter((line) => BAD_BLOCK.test(line))
    .reduce((sum, line) => sum + Number(/length (\d+)/.exec(line)?.[1] ?? 1), 0);
  return {
    rounds,
    guestErrors: kernel.length + failedRuns.length + failedCommands.length,
    badBytes,
    passes: lines.filter((line) => line === 'pass').length,
    commandRounds: commandLines.length - failedCommands.length,
    detail: [...kernel, ...failedCommands, ...lines.filter((line) => line !== 'pass')].join('\n'),
  };
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
