/** libnbd with its own checks turned off: what it asks, right or wrong, and what it hears. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import type { CoreOptions } from '../../support/core.ts';
import { openNbdServer } from '../../support/nbd-server.ts';

/** Debian's own: a Python that was installed otherwise does not know the package python3-libnbd. */
const PYTHON = '/usr/bin/python3';

const PRELUDE = `
import nbd, sys
uri = sys.argv[1]
h = nbd.NBD()
h.set_strict_mode(0)
def say(what):
    try:
        print(what())
    except nbd.Error as error:
        print(error.errno)
`;

const CONNECTED = `
h.add_meta_context("base:allocation")
h.add_meta_context("x-own:thing")
h.connect_uri(uri)
size = h.get_size()
def status(length, offset, flags=0):
    found = []
    h.block_status(length, offset, lambda name, at, extents, error: found.append([name, at, extents]), flags)
    return found
`;

/** Runs Python statements; what they print, line by line. */
async function python(uri: string, script: string): Promise<string[]> {
  const run = promisify(execFile)(PYTHON, ['-c', script, uri], { timeout: 60_000 });
  return (await run).stdout.trimEnd().split('\n');
}

const answers: [title: string, asks: [expression: string, answer: string][], options?: CoreOptions][] = [
  [
    'requests past the end',
    [
      ['h.pread(512, size)', 'EINVAL'],
      ['h.pread(1024, size - 512)', 'EINVAL'],
      ['h.pread(512, 2**63 - 512)', 'EINVAL'],
      ['h.pwrite(bytearray(512), size)', 'ENOSPC'],
      ['h.zero(512, size)', 'ENOSPC'],
      ['h.trim(512, size)', 'EINVAL'],
      ['h.cache(512, size)', 'EINVAL'],
      ['status(512, size)', 'EINVAL'],
      ['len(h.pread(512, size - 512))', '512'],
    ],
  ],
  [
    'requests of nothing, and of odd and oversized lengths',
    [
      ['h.pread(0, 0)', 'EINVAL'],
      ['h.pwrite(bytearray(0), 0)', 'EINVAL'],
      ['h.zero(0, 0)', 'EINVAL'],
      ['h.pread(100, 3)', 'EINVAL'],
      ['h.pwrite(bytearray(33 << 20), 0)', 'EINVAL'],
      ['h.pread(33 << 20, 0)', 'EINVAL'],
      ['h.flush()', 'None'],
    ],
  ],
  [
    'flags, known and unknown',
    [
      ['h.pread(512, 0, flags=nbd.CMD_FLAG_REQ_ONE)', 'EINVAL'],
      ['h.pread(512, 0, flags=0x8000)', 'EINVAL'],
      ['h.pwrite(bytearray(512), 0, flags=nbd.CMD_FLAG_NO_HOLE)', 'EINVAL'],
      ['len(h.pread(65536, 0, flags=nbd.CMD_FLAG_DF))', '65536'],
      ['len(h.pread(512, 0, flags=nbd.CMD_FLAG_FUA))', '512'],
      ['h.flush(flags=nbd.CMD_FLAG_FUA)', 'None'],
      ['h.zero(4096, 0, flags=nbd.CMD_FLAG_FAST_ZERO)', 'None'],
      ['h.zero(4096, 0, flags=nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)', 'ENOTSUP'],
      ['h.zero(4096, 0, flags=nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)', 'None'],
    ],
  ],
  [
    'block status, of the one context that there is',
    [
      ['h.get_structured_replies_negotiated()', 'True'],
      ['h.can_meta_context("base:allocation"), h.can_meta_context("x-own:thing")', '(True, False)'],
      ['h.pwrite(b"x" * 4096, 4096)', 'None'],
      ['status(16384, 0)', "[['base:allocation', 0, [4096, 3, 4096, 0, 8192, 3]]]"],
      ['status(16384, 0, nbd.CMD_FLAG_REQ_ONE)', "[['base:allocation', 0, [4096, 3]]]"],
      ['status(512, 4096, nbd.CMD_FLAG_REQ_ONE)', "[['base:allocation', 4096, [512, 0]]]"],
    ],
  ],
  [
    'writes to a read-only disk',
    [
      ['h.pwrite(bytearray(512), 0)', 'EPERM'],
      ['h.zero(512, 0)', 'EPERM'],
      ['h.trim(512, 0)', 'EPERM'],
      ['len(h.pread(512, 0))', '512'],
    ],
    { capabilities: { readOnly: true } },
  ],
];
for (const [title, asks, options] of answers) {
  test(`libnbd hears the right answers to ${title}`, async (t) => {
    const served = await openNbdServer(options);
    t.teardown(() => served.close());
    const script = asks.map(([expression]) => `say(lambda: (${expression}))`).join('\n');
    t.deepEqual(
      await python(served.uri, PRELUDE + CONNECTED + script),
      asks.map(([, answer]) => answer),
    );
    t.deepEqual(served.endings, ['the client closed the connection']);
  });
}

test('libnbd negotiates step by step: a name that there is not, then the right one', async (t) => {
  const served = await openNbdServer();
  t.teardown(() => served.close());
  const said = await python(
    served.uri,
    `${PRELUDE}
h.set_opt_mode(True)
h.set_full_info(True)
h.connect_uri(uri)
names = []
h.opt_list(lambda name, description: names.append([name, description]))
print(names)
h.set_export_name("nothing")
say(lambda: h.opt_info())
say(lambda: h.opt_go())
h.set_export_name("")
contexts = []
h.opt_list_meta_context(lambda name: contexts.append(name))
print(contexts)
h.opt_info()
print(h.get_canonical_export_name(), h.get_export_description())
h.opt_go()
print(len(h.pread(512, 0)))
h.shutdown()
again = nbd.NBD()
again.set_opt_mode(True)
again.connect_uri(uri)
again.opt_abort()
`,
  );
  t.deepEqual(said, [
    "[['disk', 'a disk in memory']]",
    'ENOENT',
    'ENOENT',
    "['base:allocation']",
    'disk a disk in memory',
    '512',
  ]);
});

test('libnbd gets every answer that it still waits for when it says goodbye', async (t) => {
  const served = await openNbdServer({ byteLength: 8 << 20 });
  t.teardown(() => served.close());
  const said = await python(
    served.uri,
    `${PRELUDE}
h.connect_uri(uri)
buffers = [nbd.Buffer(1 << 20) for i in range(100)]
cookies = [h.aio_pread(buffer, 0) for buffer in buffers]
h.aio_disconnect()
while not (h.aio_is_dead() or h.aio_is_closed()):
    h.poll(-1)
print(sum(h.aio_command_completed(cookie) for cookie in cookies))
`,
  );
  t.deepEqual(said, ['100']);
  t.deepEqual(served.endings, ['the client has finished']);
});
