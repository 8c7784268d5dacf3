/** A guest whose memory is cut while the kernel reads and writes it, for a disk that another guest uses too. */
import { ftruncateSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { Status } from '../../../src/scsi/status-spec.ts';
import { Server } from '../../../src/target/server.ts';
import { luns } from '../../support/luns.ts';
import { FrontEnd } from '../../support/vhost-user/front-end.ts';
import { bootGuest, eventually } from '../../support/vhost-user/served.ts';

const LENGTH = 64 << 10;
/** Of 64 KiB; the two guests have blocks of their own. */
const HOSTILE = 0;
const OTHERS = 32;
const cdb = (opcode: number, piece: number) => [opcode, 0, 0, 0, piece >> 1, (piece & 1) << 7, 0, 0, 128, 0];
const write = (piece: number, fill: number) => ({
  cdb: cdb(0x2a, piece),
  dataOut: new Uint8Array(LENGTH).fill(fill),
});
const read = (piece: number) => ({ cdb: cdb(0x28, piece), dataInLength: LENGTH });

const ways = [
  ['cache=none', 'auto'],
  ['cache=writeback', 'auto'],
  ['cache=none', 'threads'],
] as const;

for (const [disk, io] of ways) {
  test.serial(`its connection ends, the other guest writes and reads on, ${disk}, ${io}`, async (t) => {
    const folder = temporaryFolder();
    const said: string[] = [];
    const say = (message: string) => void said.push(message);
    const paths = ['hostile.sock', 'other.sock'].map((name) => join(folder.path, name));
    const server = await Server.open(
      [
        {
          sockets: paths.map((path) => ({ path, role: 'listen' })),
          luns: luns(`${join(folder.path, 'disk.img')},create,size=8M,${disk}`),
        },
      ],
      {
        io,
        stateDirectory: undefined,
        iscsi: undefined,
        log: { debug: say, info: say, warn: say, error: say },
      },
    );
    const other = await bootGuest(FrontEnd.connect(paths[1]));
    for (let round = 1; round <= 5; round++) {
      const hostile = await bootGuest(FrontEnd.connect(paths[0]), { powerOn: true });
      let answered = 0;
      const load = async (piece: number) => {
        for (let i = 0; ; i++) {
          await hostile.driver.execute(i % 2 === 0 ? write(piece, 0xaa) : read(piece));
          answered++;
        }
      };
      for (let piece = HOSTILE; piece < HOSTILE + 16; piece++) void load(piece).catch(() => {});
      await eventually(() => answered > 40);
      ftruncateSync(hostile.memory.fd, 0);
      let closed = false;
      void hostile.frontEnd.closed.then(() => {
        closed = true;
      });
      // Its driver reads zeroes now, kicks no more, and nobody would look at what is gone.
      await eventually(() => {
        for (const ring of hostile.driver.rings) ring.kick();
        return closed;
      });
      for (let piece = OTHERS; piece < OTHERS + 8; piece++) {
        t.is((await other.driver.execute(write(piece, round))).status, Status.GOOD);
        const { status, dataIn } = await other.driver.execute(read(piece));
        t.is(status, Status.GOOD);
        t.true(dataIn.every((byte) => byte === round));
      }
      t.is((await other.driver.execute({ cdb: [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0] })).status, Status.GOOD);
      hostile.leave();
      await eventually(() => server.targets[0].vhostUser[0].state.frontEnd === undefined);
      t.regex(server.targets[0].vhostUser[0].state.lastDisconnect!, /took back memory/);
    }
    other.leave();
    await server.close();
    folder.remove();
    t.false(
      said.some((line) => line.includes('defect')),
      said.join('\n'),
    );
  });
}
