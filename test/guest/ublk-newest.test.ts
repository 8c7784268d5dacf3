/**
 * lunport attach over ublk in a guest with Debian's newest kernel: LUNs of a running lunport, reserved and resized,
 * read-only and with large blocks, and what becomes of two that are under load when that lunport is killed; zero copy.
 */
import test, { type ExecutionContext } from 'ava';
import type { Guest } from '../../qemu/guest.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { ATTACHMENT_FUNCTIONS } from '../support/attachment-functions.ts';
import { runLunport } from '../support/package-image.ts';
import { startUblkGuest } from '../support/ublk-guest.ts';

const folder = temporaryFolder();
let guest: Guest;

/** What a second initiator does, straight through the control socket: PERSISTENT RESERVE OUT (SPC-4 6.16), a new size, attaching. */
const ASK = `
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
const socket = connect('/tmp/s.sock.ctl');
const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
const target = '/tmp/s.sock';
async function call(method, params) {
  socket.write(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { target, lun: 0, ...params } }) + '\\n');
  const { result, error } = JSON.parse((await lines.next()).value);
  if (error) throw new Error(error.message);
  return result;
}
async function reserveOut(action, type, key, newKey) {
  const dataOut = Buffer.alloc(24);
  dataOut[7] = key;
  dataOut[15] = newKey;
  const cdb = Buffer.from([0x5f, action, type, 0, 0, 0, 0, 0, 24, 0]).toString('hex');
  // News comes first.
  for (;;) {
    const { status } = await call('execute', { initiator: 'other', cdb, dataOut: dataOut.toString('base64') });
    if (status !== 2) return status;
  }
}
const [what, ...numbers] = process.argv.slice(2);
if (what === 'reserve') console.log('reserved', await reserveOut(0, 0, 0, 1), await reserveOut(1, 1, 1, 0));
else if (what === 'release') console.log('released', await reserveOut(2, 1, 1, 0));
else if (what === 'resize') await call('resize', { size: Number(numbers[0]) });
else for (const lun of numbers) await call('attach', { lun: Number(lun), as: 'ublk' });
socket.destroy();
`;

const FUNCTIONS = `${ATTACHMENT_FUNCTIONS}
ask() { /opt/node /tmp/ask.mjs "$@"; }
serve() { lunport serve /tmp/s.img,create,size=256M /tmp/t.img,create,size=1G /tmp/b.img,create,size=64M,block-size=4096 /tmp/r.img,ro,block-size=4096 --socket /tmp/s.sock --json >/tmp/s.out 2>&1 </dev/null & until_ 'grep -qs ready /tmp/s.out'; }
keeper_of() { for p in $(cat /proc/$(pid $1)/task/*/children); do tr '\\0' ' ' </proc/$p/cmdline | grep -q "detach $1 --if-dead" || continue; echo $p; done; }
write() { dd if=/dev/zero of=/dev/$1 bs=4096 count=1 oflag=direct 2>&1 | grep -o 'Invalid exchange' || echo written; }
`;

const run = (t: ExecutionContext, script: string) => runLunport(t, guest, `${FUNCTIONS}${script}`);

test.before(async (t) => {
  guest = await startUblkGuest(folder.path, {
    kernel: 'newest',
    tools: ['fio', 'mkfs.ext4', 'resize2fs', 'e2fsck', 'blkdiscard'],
    modules: ['ublk_drv'],
  });
  await guest.put('/tmp/ask.mjs', ASK);
  await guest.exec('truncate -s 1M /tmp/r.img');
  t.pass();
});

test.after.always(async () => {
  await guest?.close();
  folder.remove();
});

const FIO = [
  'fio --name=load --rw=randwrite --ioengine=libaio --iodepth=16',
  '--direct=1 --verify=crc32c --verify_fatal=1 --fallocate=none --end_fsync=1',
].join(' ');

test.serial(
  'a LUN of a running lunport: a file system, a reservation of another, and a new size while it is mounted',
  async (t) => {
    const output = await run(
      t,
      `set -e; serve; lunport attach /tmp/s.sock:0 --as ublk; d=$(device s)
      mkfs.ext4 -q /dev/$d; mount /dev/$d /mnt; ${FIO} --directory=/mnt --size=16M --bs=64k | grep -o 'err= 0'; rm /mnt/load*; fstrim /mnt
      ask resize ${512 << 20}; until_ '[ $(blockdev --getsize64 /dev/$d) = ${512 << 20} ]'; resize2fs /dev/$d >/dev/null 2>&1
      echo grown to $(($(stat -f -c '%b*%S' /mnt) >> 28))
      umount /mnt; e2fsck -f -n /dev/$d >/dev/null 2>&1; echo clean
      ask reserve; write $d; ask release; write $d`,
    );
    t.regex(
      output,
      /^\/dev\/ublkb0\nerr= 0\ngrown to 1\nclean\nreserved 0 0\nInvalid exchange\nreleased 0\nwritten\n$/,
    );
  },
);

test.serial(
  'when that lunport is killed, a device goes on with the next one or fails within bounds; and what a device can do',
  async (t) => {
    // Its keeper killed as well, nobody but the next lunport ends the wait for LUN 0; stopped, this one starts no other keeper.
    t.is(
      await run(
        t,
        `set -e; ask attach 1; server=$(pid s); keeper=$(keeper_of s); running $(device t); running ublkb0 3000
      kill -STOP $server; kill -9 $keeper $server; until_ "! kill -0 $server 2>/dev/null"
      test ! -e /tmp/ublkb0.ended; test ! -e /tmp/ublkb1.ended
      serve; lunport attach /tmp/s.sock:0 --as ublk; d=ublkb0; ended`,
      ),
      '/dev/ublkb0\ndd ended with 0\n',
    );
    // While half a minute passes for LUN 1.
    t.is(
      await run(
        t,
        `set -e; ask attach 2 3; d=$(device b)
      echo blocks $(cat /sys/block/$d/queue/logical_block_size) FUA $(cat /sys/block/$d/queue/fua)
      ${FIO} --filename=/dev/$d --size=8M --bs=64k --sync=dsync | grep -o 'err= 0'
      before=$(stat -c %b /tmp/b.img)
      /usr/sbin/blkdiscard --zeroout --offset 1M --length 64k /dev/$d
      dd if=/dev/$d bs=64k skip=16 count=1 2>/dev/null | cmp -n 65536 - /dev/zero; echo zeroes
      /usr/sbin/blkdiscard --offset 4M --length 4M /dev/$d; sync
      echo given back $(((before - $(stat -c %b /tmp/b.img)) / 2048)) MiB
      d=$(device r); echo read-only $(blockdev --getro /dev/$d)
      dd if=/dev/zero of=/dev/$d bs=4096 count=1 oflag=direct 2>/dev/null || echo refused`,
      ),
      'blocks 4096 FUA 1\nerr= 0\nzeroes\ngiven back 4 MiB\nread-only 1\nrefused\n',
    );
    t.is(await run(t, `d=ublkb1; ended; until_ '[ ! -e /run/lunport/attached/t ]'`), 'dd ended with 1\n');
  },
);

test.serial(
  'a disk past the page cache is served without copies, by the next server too when one is killed',
  async (t) => {
    const output = await run(
      t,
      `lunport attach /dev/$(ls /sys/class/scsi_device/*:1:0/device/block),cache=none --name zero; d=$(device zero); server=$(pid zero)
      zero_copy() { echo rings with buffers: $(cat /proc/$(pid zero)/fdinfo/* 2>/dev/null | grep -c 'UserBufs:.[1-9]'); }
      dd if=/dev/$d of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; zero_copy
      (${FIO} --filename=/dev/$d --size=32M --bs=16k >/tmp/fio.out; echo >/tmp/fio.ended) &
      sleep 1; test ! -e /tmp/fio.ended && kill -9 $server && echo killed; until_ '[ -e /tmp/fio.ended ]'; grep -o 'err= 0' /tmp/fio.out
      test $server != $(pid zero) && zero_copy; lunport detach zero`,
    );
    t.regex(output, /^\/dev\/ublkb\d\nrings with buffers: 1\nkilled\nerr= 0\nrings with buffers: 1\n$/);
  },
);

test.serial(
  'a disk that grew while nobody served its device tells its size to the next server',
  async (t) => {
    const output = await run(
      t,
      `truncate -s 64M /tmp/g.img; lunport attach /tmp/g.img; d=$(device g); server=$(pid g)
    kill -STOP $server; kill -9 $(keeper g) $server; until_ "! kill -0 $server 2>/dev/null"
    truncate -s 128M /tmp/g.img; blockdev --getsize64 /dev/$d; lunport attach /tmp/g.img
    until_ '[ $(blockdev --getsize64 /dev/$d) = ${128 << 20} ]' && echo grown; lunport detach g`,
    );
    t.regex(output, /^(\/dev\/ublkb\d)\n67108864\n\1\ngrown\n$/);
  },
);
