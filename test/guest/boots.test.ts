/** One lunport process, many guests: boots by firmware, reboots, one QEMU after another, and nothing leaks. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { copyDiskImage } from '../../qemu/disk-image.ts';
import { Guest } from '../../qemu/guest.ts';
import { runGuest } from '../../qemu/run.ts';
import { startServe } from '../support/serve-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'lunport-boots-'));
test.after.always(() => rmSync(folder, { recursive: true }));

/** Open descriptors, and mappings of memory that others shared with the process. */
function held(pid: number): { descriptors: number; mappings: number } {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    mappings: maps.filter((line) => line.includes('memfd:')).length,
  };
}

for (const firmware of ['seabios', 'ovmf'] as const) {
  test.serial(`a Debian disk boots by ${firmware} and reaches user space`, async (t) => {
    const serve = await startServe([await copyDiskImage(join(folder, `${firmware}.img`))]);
    t.teardown(() => serve.stop());
    const { exitCode, output } = await runGuest({
      vehicle: 'disk',
      firmware,
      vhostUserScsi: [{ socket: serve.socket, bootIndex: 0 }],
      job: 'findmnt -n -o FSTYPE /; lsscsi; exit 3',
    });
    t.is(exitCode, 3, output);
    t.regex(output, /^ext4\n.*LUNPORT/);
    t.is(await serve.stop(), 0);
  });
}

test.serial('three reboots and three QEMUs in a row leave no descriptor and no mapping behind', async (t) => {
  const serve = await startServe(['ram:64M']);
  t.teardown(() => serve.stop());
  const before = held(serve.pid);
  const job = 'dd if=/dev/sda of=/dev/null bs=1M 2>&1 | tail -1 && sg_turs /dev/sg0';
  for (let run = 0; run < 3; run++) {
    const guest = await Guest.start({
      vehicle: 'initrd',
      initrd: { tools: ['sg3-utils'] },
      vhostUserScsi: [{ socket: serve.socket }],
    });
    try {
      for (let boot = 0; boot < (run === 0 ? 4 : 1); boot++) {
        if (boot > 0) await guest.reboot();
        const { status, output } = await guest.exec(job);
        t.is(status, 0, output);
      }
    } finally {
      // The first leaves by power-off, the others are killed.
      if (run === 0) await guest.powerOff();
      await guest.close();
    }
    await settled(t, serve.pid, before, run);
  }
  t.is(await serve.stop(), 0);
});

/** lunport hears of the end of a QEMU a moment after it. */
async function settled(
  t: { deepEqual: (actual: unknown, expected: unknown, message: string) => boolean },
  pid: number,
  before: object,
  run: number,
): Promise<void> {
  const deadline = Date.now() + 3000;
  while (JSON.stringify(held(pid)) !== JSON.stringify(before) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.deepEqual(held(pid), before, `after QEMU ${run + 1}`);
}

test.serial('a guest that is killed while it writes leaves lunport serving the next one', async (t) => {
  const serve = await startServe([`${join(folder, 'killed.img')},create,size=64M`]);
  t.teardown(() => serve.stop());
  const options = { vehicle: 'initrd', vhostUserScsi: [{ socket: serve.socket }] } as const;
  const first = await Guest.start(options);
  const writing = first.exec('while :; do dd if=/dev/urandom of=/dev/sda bs=1M count=32 oflag=direct; done');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await Promise.all([t.throwsAsync(writing), first.kill()]);
  await first.close();
  const { exitCode, output } = await runGuest({
    ...options,
    job: 'echo whole >/dev/sda && sync && head -c 5 /dev/sda',
  });
  t.is(exitCode, 0);
  t.regex(output, /whole/);
  t.is(await serve.stop(), 0);
});
