/** The NBD client of a QEMU that knows extended headers: block status beyond 32 bits, and every kind of request. */
import { join } from 'node:path';
import test from 'ava';
import { newestQemu } from '../../qemu/newest-qemu.ts';
import { runProgram } from '../../qemu/run-program.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { startServe } from '../support/serve-process.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());
const GIB = 2 ** 30;

async function qemu(program: string, ...args: readonly string[]): Promise<string> {
  const [env, ...rest] = await newestQemu(program);
  return await runProgram(env, [...rest, ...args]);
}

const COMMANDS = [
  ...['write -P 7 0 1M', 'write -fP 8 1M 4k', 'write -z 64k 64k', 'write -zu 128k 64k', 'discard 512k 64k'],
  ...[
    'read -P 7 0 64k',
    'read -P 0 64k 128k',
    'read -P 8 1M 4k',
    'aio_write -P 9 5G 64k',
    'aio_flush',
    'flush',
  ],
];

test('QEMU with extended headers: what it is told, what it writes, and 6 GiB of block status', async (t) => {
  const socket = join(folder.path, 'disk.nbd');
  const serve = await startServe([`${join(folder.path, 'disk.img')},create,size=6G`], {
    serveArguments: ['--nbd', socket],
  });
  t.teardown(() => serve.stop());
  const [uri] = serve.nbd;
  const told = await qemu('qemu-nbd', '--list', '-k', socket);
  t.regex(told, /fast-zero[\s\S]*max block: 33554432[\s\S]*transaction size: 64-bit[\s\S]*base:allocation/);
  const map = async () => {
    const text = await qemu('qemu-img', 'map', '--output=json', '-f', 'raw', uri);
    return (JSON.parse(text) as { start: number; length: number; data: boolean }[]).map(
      ({ start, length, data }) => [start, length, data],
    );
  };
  t.deepEqual(await map(), [[0, 6 * GIB, false]]);
  const io = [...['-f', 'raw', '-d', 'unmap'], ...COMMANDS.flatMap((command) => ['-c', command])];
  t.regex(await qemu('qemu-io', ...io, uri), /wrote 65536\/65536 bytes at offset 5368709120/);
  const last = (await map()).slice(-3);
  t.deepEqual(last, [
    [(1 << 20) + 4096, 5 * GIB - (1 << 20) - 4096, false],
    [5 * GIB, 65536, true],
    [5 * GIB + 65536, GIB - 65536, false],
  ]);
});
