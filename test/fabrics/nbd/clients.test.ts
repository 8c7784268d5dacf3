/** NBD clients that we did not write: libnbd's tools, qemu's, fio's engine. They must find everything in order. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import type { CoreOptions } from '../../support/core.ts';
import { openNbdServer } from '../../support/nbd-server.ts';

const folder = temporaryFolder();
test.after.always(() => folder.remove());
const MIB = 1 << 20;
const SIZE = 16 * MIB;
const source = join(folder.path, 'source.img');
test.before(() => writeFileSync(source, Buffer.concat([randomBytes(5 * MIB), Buffer.alloc(SIZE - 5 * MIB)])));

/** Runs a command line in a folder of its own, where fio leaves its state; URI stands for the disk's, and ~ for a blank within a word. */
function run(uri: string, line: string): Promise<{ code: number; text: string }> {
  const [program, ...args] = line.split(' ').map((word) => word.replaceAll('~', ' ').replace('URI', uri));
  return new Promise((resolve) => {
    execFile(
      program,
      args,
      { cwd: folder.path, timeout: 60_000, maxBuffer: 64 * MIB },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), text: stdout + stderr });
      },
    );
  });
}

const COPY = join(folder.path, 'copy.img');
const lives: [title: string, steps: [line: string, says: RegExp][], options?: CoreOptions][] = [
  [
    'nbdinfo sees what the disk is',
    [
      [
        'nbdinfo URI',
        /structured[\s\S]*export-size: 16777216[\s\S]*can_fast_zero: true[\s\S]*can_multi_conn: true/,
      ],
      ['nbdinfo --list URI', /export="disk":[\s\S]*a disk in memory/],
      ['nbdinfo --map URI', /0 +16777216 +3 +hole,zero/],
    ],
  ],
  ['a read-only disk says so', [['nbdinfo URI', /is_read_only: true/]], { capabilities: { readOnly: true } }],
  [
    'a disk of 4096-byte blocks says so',
    [
      ['nbdinfo URI', /block_size_minimum: 4096/],
      [`qemu-img convert -n -f raw -O raw ${source} URI`, /^$/],
      [`qemu-img compare -f raw -F raw ${source} URI`, /identical/],
    ],
    { attributes: { block_size: 4096 } },
  ],
  [
    'nbdcopy copies there and back over several connections, and leaves holes',
    [
      [`nbdcopy --connections=4 --allocated ${source} URI`, /^$/],
      [`nbdcopy ${source} URI`, /^$/],
      ['nbdinfo --map URI', /^ +0 +5242880 +0 +data\n +5242880 +11534336 +3 +hole,zero\n$/],
      [`nbdcopy --connections=4 URI ${COPY}`, /^$/],
    ],
  ],
  [
    'qemu-img converts there and back, compares and maps',
    [
      [`qemu-img convert -n -f raw -O raw ${source} URI`, /^$/],
      [`qemu-img compare -f raw -F raw ${source} URI`, /identical/],
      ['qemu-img map --output=json -f raw URI', /"start": 0, "length": 5242880,[^}]*"data": true/],
      [`qemu-img convert -f raw -O raw URI ${COPY}`, /^$/],
    ],
  ],
  [
    'qemu-io writes, zeroes, discards and flushes',
    [
      ['qemu-io -f raw -c write~-P~9~0~1M -c read~-P~9~0~1M URI', /wrote 1048576[\s\S]*read 1048576/],
      ['qemu-io -f raw -c write~-z~64k~64k -c read~-P~0~64k~64k URI', /read 65536/],
      ['qemu-io -f raw -c write~-zu~128k~64k -c discard~256k~64k -c flush URI', /discard 65536/],
      ['qemu-io -f raw -c write~-f~-P~3~0~4k -c read~-P~3~0~4k URI', /read 4096/],
    ],
  ],
  [
    'nbdkit in between passes everything on',
    [
      [
        'nbdkit -U - nbd uri=URI --run nbdinfo~$uri',
        /can_df: true[\s\S]*can_fast_zero: true[\s\S]*can_multi_conn: true[\s\S]*block_size_minimum: 512/,
      ],
      [`nbdkit -U - nbd uri=URI --run nbdcopy~${source}~$uri`, /^$/],
      ['nbdkit -U - nbd uri=URI --run nbdinfo~--map~$uri', /^ +0 +5242880 +0 +data\n.*hole,zero\n$/],
      [`nbdkit -U - nbd uri=URI --run nbdcopy~$uri~${COPY}`, /^$/],
    ],
  ],
  [
    'fio verifies what it wrote',
    [
      [
        'fio --name=v --ioengine=nbd --uri=URI --size=8M --rw=randwrite --bs=4k --iodepth=16 --verify=crc32c --verify_fatal=1',
        /err= 0/,
      ],
      [
        'fio --name=v --ioengine=nbd --uri=URI --size=8M --rw=randtrim --bs=64k --iodepth=4 --fsync=8',
        /err= 0/,
      ],
    ],
  ],
];
for (const [title, steps, options] of lives) {
  test.serial(title, async (t) => {
    const served = await openNbdServer({ byteLength: SIZE, ...options });
    t.teardown(() => served.close());
    for (const [line, says] of steps) {
      const { code, text } = await run(served.uri, line);
      t.is(code, 0, `${line}: ${text}`);
      t.regex(text, says, line);
    }
    if (steps.some(([line]) => line.includes(COPY))) t.true(readFileSync(COPY).equals(readFileSync(source)));
    t.is(served.core.environment.memory.outstanding, 0);
  });
}
