/** What lunport outlives, and what a guest outlives of lunport: kills, resets, panics and unplugging, all under load. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { backportedQemu } from '../../qemu/backported-qemu.ts';
import { Guest, type GuestOptions } from '../../qemu/guest.ts';
import { runGuest } from '../../qemu/run.ts';
import { killRounds } from '../../tools/kill-rounds.ts';
import { powerCutRounds } from '../../tools/power-cut-rounds.ts';
import { type ServeProcess, startServe } from '../support/serve-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-survival-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const LOAD_MS = 1500;

/** Random writes without end, in the background; its output is a file, since nobody reads the job's any more. */
const LOAD = `fio --name=load --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=32 --rw=randwrite \
  --bs=16k --size=32M --time_based --runtime=600 >/tmp/load 2>&1 &`;

const VERIFIED = `fio --name=check --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
  --bs=64k --size=8M --verify=crc32c --verify_fatal=1`;

/** Long enough to be there for three upgrades. */
const UPGRADED = `fio --name=check --filename=/dev/sda --direct=1 --ioengine=libaio --iodepth=16 --rw=randwrite \
  --bsrange=4k-64k --size=40M --rate=,6m --verify=crc32c --verify_fatal=1 >/tmp/fio`;

/** The controller hangs on the i440FX's root bus, where it can be unplugged; q35's root bus allows no such thing. */
function machine(serve: ServeProcess): GuestOptions {
  return {
    vehicle: 'initrd',
    machine: 'pc',
    initrd: { tools: ['fio'] },
    vhostUserScsi: [{ socket: serve.socket, device: { id: 'disk' } }],
  };
}

async function underLoad(serve: ServeProcess): Promise<Guest> {
  const guest = await Guest.start(machine(serve));
  await guest.exec(LOAD);
  await sleep(LOAD_MS);
  return guest;
}

/** lunport still serves: another guest writes and verifies, and it ends in good order. */
async function serves(t: ExecutionContext, serve: ServeProcess): Promise<void> {
  const { exitCode, output } = await runGuest({ ...machine(serve), job: VERIFIED });
  t.is(exitCode, 0, output);
  t.is(await serve.stop(), 0);
}

test.serial('a guest sees no error and no wrong byte when lunport is killed three times', async (t) => {
  t.timeout(180_000);
  const result = await killRounds({ rounds: 3, qemu: await backportedQemu() });
  t.is(result.guestErrors, 0, result.detail);
  t.is(result.badBytes, 0, result.detail);
  t.true(result.passes > 0);
  t.true(result.commandRounds > 0);
});

test.serial('what was acknowledged is in the image of a lunport that was killed', async (t) => {
  const result = await powerCutRounds(3);
  t.is(result.badBytes, 0);
  t.true(result.acknowledged > 0);
});

const endings: [title: string, end: (guest: Guest, t: ExecutionContext) => Promise<void>][] = [
  ['a kill of QEMU', (guest) => guest.kill()],
  [
    'a panic of the guest',
    async (guest, t) => {
      await t.throwsAsync(guest.exec('echo c >/proc/sysrq-trigger'), { message: /panicked: sysrq/ });
    },
  ],
  [
    'a reset of the guest',
    async (guest, t) => {
      await guest.reset();
      const { status, output } = await guest.exec(VERIFIED);
      t.is(status, 0, output);
    },
  ],
  [
    'three resets of the guest while its firmware and kernel start',
    async (guest, t) => {
      for (const ms of [300, 900, 1800]) {
        await guest.qmp('set-action', { reboot: 'reset' });
        await guest.qmp('system_reset');
        await sleep(ms);
      }
      await guest.reset();
      const { status, output } = await guest.exec(VERIFIED);
      t.is(status, 0, output);
    },
  ],
  [
    'the hot unplug of its controller',
    async (guest, t) => {
      await Promise.all([guest.qmpEvent('DEVICE_DELETED'), guest.qmp('device_del', { id: 'disk' })]);
      const { status, output } = await guest.exec(
        'for i in 1 2 3 4 5; do [ -e /dev/sda ] || exit 0; sleep 1; done; exit 1',
      );
      t.is(status, 0, output);
    },
  ],
];

for (const [number, [title, end]] of endings.entries()) {
  test.serial(`lunport serves on after ${title} under load`, async (t) => {
    const serve = await startServe([`${join(folder, `${number}.img`)},create,size=64M`]);
    t.teardown(() => serve.kill());
    const guest = await underLoad(serve);
    try {
      await end(guest, t);
    } finally {
      await guest.close();
    }
    await serves(t, serve);
  });
}

test.serial('three upgrades under load: a new lunport takes over, and the guest sees no error', async (t) => {
  const disk = `${join(folder, 'upgraded.img')},create,size=64M`;
  const socket = join(folder, 'upgraded.sock');
  let serve = await startServe([disk], { socket });
  const guest = await Guest.start({
    vehicle: 'initrd',
    qemu: await backportedQemu(),
    initrd: { tools: ['fio'] },
    vhostUserScsi: [{ socket, chardev: { 'reconnect-ms': 1000 } }],
  });
  t.teardown(() => guest.close());
  const load = guest.exec(`${UPGRADED}; echo "fio $?"; dmesg | grep -c "I/O error"`);
  for (let upgrade = 0; upgrade < 3; upgrade++) {
    await sleep(LOAD_MS);
    const next = await startServe([disk], { socket, serveArguments: ['--takeover'] });
    t.is(await serve.stop(), 0, 'the old one has ended in good order');
    serve = next;
  }
  t.teardown(() => serve.stop());
  const { output } = await load;
  t.regex(output, /fio 0\n0\n?$/, output);
});
