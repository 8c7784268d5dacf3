/**
 * Two guests that share a disk and fence each other by persistent reservations, as a cluster does: one behind a socket
 * of lunport's, one behind a socket of its QEMU's. lunport is killed in between, and nobody may notice.
 */
import { join } from 'node:path';
import test from 'ava';
import { backportedQemu } from '../../qemu/backported-qemu.ts';
import { Guest } from '../../qemu/guest.ts';
import { LunportChild } from '../../qemu/lunport-child.ts';
import type { VhostUserScsi } from '../../qemu/machine.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';

const KEY_A = '0xa';
const KEY_B = '0xb';
/** Write exclusive, registrants only: what cluster managers use. */
const TYPE = 5;
/** sg3-utils' exit statuses. */
const CONFLICT = 24;
const UNIT_ATTENTION = 6;

const sgPersist = (...words: string[]) => `sg_persist -n -o ${words.join(' ')} /dev/sg0`;
const register = (key: string) => sgPersist('--register-ignore', '--param-aptpl', `-S ${key}`);
const write = (letter: string) =>
  `tr '\\0' ${letter} </dev/zero | dd of=/dev/sda bs=4k count=16 iflag=fullblock oflag=direct 2>&1`;
const READ = 'dd if=/dev/sda bs=4k count=16 iflag=direct 2>/dev/null | tr -s a-z';

/** Writes until that fails, and then says so. */
const WRITE_ON = `rm -f /tmp/fenced; (while ${write('a')} >/dev/null; do :; done; touch /tmp/fenced) >/tmp/log 2>&1 &`;
const AWAIT_FENCED = 'until [ -e /tmp/fenced ]; do sleep 0.1; done';

test.serial('two guests fence each other with reservations, over a kill of lunport', async (t) => {
  t.timeout(240_000);
  const folder = temporaryFolder();
  const qemu = await backportedQemu();
  const sockets = { a: join(folder.path, 'a.sock'), b: join(folder.path, 'b.sock') };
  const serve = () =>
    LunportChild.serve([
      `${join(folder.path, 'shared.img')},create,size=64M`,
      ...['--socket', sockets.a, '--connect', sockets.b, '--state', join(folder.path, 'state')],
    ]);
  const boot = (socket: string, chardev: VhostUserScsi['chardev']) =>
    Guest.start({
      vehicle: 'initrd',
      cpus: 1,
      memoryMiB: 256,
      initrd: { tools: ['sg3-utils'] },
      qemu,
      vhostUserScsi: [{ socket, chardev }],
    });
  const run = async (guest: Guest, script: string, status = 0) => {
    const result = await guest.exec(script);
    t.is(result.status, status, `${script}\n${result.output}`);
    return result.output;
  };

  const guests: Guest[] = [];
  let lunport = await serve();
  try {
    const bootA = () => boot(sockets.a, { reconnect: 1 });
    let a = await bootA();
    guests.push(a);
    const b = await boot(sockets.b, { server: true, wait: true });
    guests.push(b);

    await run(a, register(KEY_A));
    await run(a, sgPersist('--reserve', `-K ${KEY_A}`, `-T ${TYPE}`));
    await run(a, write('a'));
    await run(b, write('b'), 1);
    t.is(await run(b, READ), 'a', 'who is not registered may read, and has written nothing');
    await run(b, register(KEY_B));
    await run(b, write('b'));

    await run(a, WRITE_ON);
    await run(b, sgPersist('--preempt-abort', `-K ${KEY_B}`, `-S ${KEY_A}`, `-T ${TYPE}`));
    await run(a, AWAIT_FENCED);
    await run(b, write('b'));
    await run(a, write('a'), 1);
    t.is(await run(b, READ), 'b', 'nothing of the fenced guest came after');

    await lunport.kill();
    lunport = await serve();
    await run(b, write('c'));
    await run(a, write('a'), 1);
    await run(a, sgPersist('--reserve', `-K ${KEY_A}`, `-T ${TYPE}`), CONFLICT);
    t.is(await run(a, READ), 'c');

    await a.close();
    a = await bootA();
    guests.push(a);
    await run(a, write('a'), 1);
    await run(a, register(KEY_A));
    await run(a, write('d'));
    await run(b, sgPersist('--release', `-K ${KEY_B}`, `-T ${TYPE}`));
    t.regex(await run(a, 'sg_turs -v /dev/sg0 2>&1', UNIT_ATTENTION), /Reservations released/);
    await run(a, sgPersist('--reserve', `-K ${KEY_A}`, `-T ${TYPE}`));
    t.regex(await run(b, 'sg_persist -n -k /dev/sg0'), /0xa[\s\S]*0xb|0xb[\s\S]*0xa/);
    await a.powerOff();
    await b.powerOff();
    await lunport.stop();
  } finally {
    for (const guest of guests) await guest.close();
    await lunport.kill();
    folder.remove();
  }
});
