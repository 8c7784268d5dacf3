/** libblkio, by way of QEMU's own tools: a front-end that is neither a virtual machine nor ours. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { GuestError } from '../../qemu/guest-error.ts';
import { newestQemu } from '../../qemu/newest-qemu.ts';
import { runProgram } from '../../qemu/run-program.ts';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { type ServeProcess, startServe } from '../support/serve-process.ts';

const MEBIBYTE = 1 << 20;
const folder = temporaryFolder();
test.after.always(() => folder.remove());

const image = (name: string): string => join(folder.path, name);
const drive = ({ socket }: ServeProcess): string =>
  `driver=virtio-blk-vhost-user,path=${socket},cache.direct=on`;

async function qemu(program: string, ...args: readonly string[]): Promise<string> {
  const [env, ...rest] = await newestQemu(program);
  return await runProgram(env, [...rest, ...args]);
}

/** @throws GuestError when a command fails, or reads another pattern than it was told */
function qemuIo(
  serve: ServeProcess,
  options: readonly string[],
  commands: readonly string[],
): Promise<string> {
  const each = commands.flatMap((command) => ['-c', command]);
  return qemu('qemu-io', ...options, '-d', 'unmap', '--image-opts', drive(serve), ...each);
}

test.serial(
  'libblkio reads back what it wrote, zeroed and discarded, with requests in any order',
  async (t) => {
    const path = image('disk.img');
    const serve = await startServe([`${path},create,size=64M`], { serveArguments: ['--blk'] });
    t.teardown(() => serve.stop());
    t.regex(await qemu('qemu-img', 'info', '--image-opts', drive(serve)), /64 MiB \(67108864 bytes\)/);
    await qemuIo(
      serve,
      [],
      [
        ...['write -P 0xab 0 4M', 'write -z 1M 64k', 'discard 2M 1M', 'writev -P 3 4M 512 1024 4096'],
        ...['aio_write -P 9 8M 1M', 'aio_write -P 8 9M 1M', 'aio_read -P 0xab 0 1M', 'aio_flush', 'flush'],
        ...['read -P 0xab 0 1M', 'read -P 0 1M 64k', 'read -P 0xab 1088k 960k', 'read -P 3 4M 5632'],
        ...['read -P 9 8M 1M', 'read -P 8 9M 1M'],
      ],
    );
    const bytes = readFileSync(path);
    const expected = new Uint8Array(12 * MEBIBYTE);
    expected.fill(0xab, 0, 4 * MEBIBYTE).fill(0, MEBIBYTE, MEBIBYTE + (64 << 10));
    expected.fill(0, 2 * MEBIBYTE, 3 * MEBIBYTE).fill(3, 4 * MEBIBYTE, 4 * MEBIBYTE + 5632);
    expected.fill(9, 8 * MEBIBYTE, 9 * MEBIBYTE).fill(8, 9 * MEBIBYTE, 10 * MEBIBYTE);
    t.true(bytes.subarray(0, expected.length).equals(expected));
  },
);

test.serial(
  'libblkio copies an image in, keeps 32 requests under way, and leaves the next one a clean device',
  async (t) => {
    const path = image('copy.img');
    const source = image('source.img');
    writeFileSync(
      source,
      Buffer.alloc(16 * MEBIBYTE).map((_, i) => (i * 2654435761) >>> 24),
    );
    const serve = await startServe([`${path},create,size=16M`], { serveArguments: ['--blk'] });
    t.teardown(() => serve.stop());
    await qemu(
      'qemu-img',
      'convert',
      '-n',
      '-t',
      'none',
      '-f',
      'raw',
      '--target-image-opts',
      source,
      drive(serve),
    );
    const same = await qemu('qemu-img', 'compare', '-f', 'raw', source, '-F', 'raw', path);
    t.regex(same, /Images are identical/);
    const load = ['-c', '20000', '-d', '32', '-s', '4096', '-t', 'none', '--image-opts', drive(serve)];
    t.regex(await qemu('qemu-img', 'bench', ...load), /Run completed/);
    t.regex(await qemu('qemu-img', 'bench', '-w', ...load), /Run completed/);
  },
);

test.serial('libblkio is told that a disk is read-only', async (t) => {
  const path = image('fixed.img');
  writeFileSync(path, Buffer.alloc(MEBIBYTE, 0x11));
  const serve = await startServe([`${path},ro`], { serveArguments: ['--blk'] });
  t.teardown(() => serve.stop());
  await qemuIo(serve, ['-r'], ['read -P 0x11 0 1M']);
  await t.throwsAsync(qemuIo(serve, [], ['write 0 512']), {
    instanceOf: GuestError,
    message: /read-only/i,
  });
  t.deepEqual(readFileSync(path), Buffer.alloc(MEBIBYTE, 0x11));
});
