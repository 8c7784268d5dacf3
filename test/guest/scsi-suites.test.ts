/** What others wrote to find fault with disks, run by a stock kernel against lunport's: sg3-utils, and libiscsi's suite. */
import test from 'ava';
import { Guest } from '../../qemu/guest.ts';
import { type ServeProcess, startServe } from '../support/serve-process.ts';

/** LUNs by what some test asks of a disk. */
const DISKS = ['ram:128M', 'ram:64M,removable', 'ram:64M,ro', 'ram:64M,block-size=4096'];

/** `$sg0` … `$sg3` are the disks by LUN; letters and numbers of devices swap between boots. */
const DEVICES = DISKS.map((_, lun) => {
  return `sg${lun}=/dev/$(ls /sys/bus/scsi/devices/*:0:0:${lun}/scsi_generic)`;
}).join('\n');

let serve: ServeProcess;
let guest: Guest;

test.before(async (t) => {
  t.timeout(180_000);
  serve = await startServe(DISKS);
  guest = await Guest.start({
    vehicle: 'initrd',
    initrd: { tools: ['sg3-utils', 'sdparm', 'iscsi-test-cu'] },
    vhostUserScsi: [{ socket: serve.socket }],
  });
  // The unit attentions of power-on.
  await guest.exec(`${DEVICES}\nfor sg in $sg0 $sg1 $sg2 $sg3; do sg_turs -n 3 $sg; done`);
});

test.after.always(async () => {
  await guest?.close();
  await serve?.kill();
});

/** What sg3-utils say when a page is not as the standard has it, or when a command failed. */
const COMPLAINT =
  /malformed|invalid|illegal|truncated|too short|\bbad\b|unexpected|unrecognized|unknown|failed|overflow|mismatch|\?\?|wrong/i;

const sgUtilities: [title: string, script: string, expected?: RegExp][] = [
  ['standard INQUIRY data', 'sg_inq $sg0; sg_inq -d $sg0', /LUNPORT/],
  [
    'every vital product data page',
    'sg_vpd -a $sg0; sg_vpd -a $sg1; sg_vpd -a $sg3; sg_inq -e $sg0',
    /Logical block provisioning VPD page/,
  ],
  [
    'the operation codes',
    'sg_opcodes -n $sg0; sg_opcodes -a -m $sg0; sg_opcodes -R $sg0',
    /Compare and write/,
  ],
  ['one operation code', 'sg_opcodes -o 0x28 $sg0; sg_opcodes -o 0x9e,0x10 $sg0', /supported \[conforming/],
  ['the task management functions', 'sg_opcodes -t -q $sg0', /Logical unit reset/],
  [
    'every mode page',
    'sg_modes -a $sg0; sg_modes -a -6 $sg0; sg_modes -a -c 1 $sg0; sg_modes -a -c 2 $sg0',
    />> Caching/,
  ],
  [
    // 5: it asked for saved values too, which a disk without a state directory does not have.
    'mode pages field by field',
    'for page in co ca rw ie po; do sdparm -p $page -l $sg0 || [ $? = 5 ]; done',
    /D_SENSE/,
  ],
  ['every log page', 'sg_logs -a $sg0; sg_logs -A $sg0', /Start-stop cycle counter page/],
  ['capacities', 'sg_readcap $sg0; sg_readcap -l $sg0; sg_readcap -l $sg3', /Logical block length=4096/],
  ['REPORT LUNS', 'sg_luns $sg0; sg_luns -s 1 $sg0; sg_luns -s 2 $sg0', /imples 4 lun entries/],
  [
    "a persistent reservation's life",
    `sg_persist -n -o -G -S 0xa1 $sg0; sg_persist -n -k $sg0; sg_persist -n -c $sg0
     sg_persist -n -o -R -K 0xa1 -T 3 $sg0; sg_persist -n -r $sg0; sg_persist -n -s $sg0
     sg_persist -n -o -P -K 0xa1 -S 0xa1 -T 5 $sg0; sg_persist -n -r $sg0
     sg_persist -n -o -L -K 0xa1 -T 5 $sg0; sg_persist -n -o -G -K 0xa1 -S 0 $sg0; sg_persist -n -k $sg0`,
    /type: Exclusive Access[\s\S]*NO registered reservation keys/,
  ],
  [
    'UNMAP and WRITE SAME, and what they leave',
    `sg_unmap -f --lba=0 --num=8 $sg0; sg_get_lba_status --lba=0 $sg0
     sg_write_same -U --lba=8 --num=8 $sg0; sg_write_same -S --lba=16 --num=8 --in=/dev/zero $sg0
     sg_write_same -N -S --lba=24 --num=8 $sg0; sg_get_lba_status -S --lba=8 $sg0`,
    /deallocated/,
  ],
  [
    'COMPARE AND WRITE, VERIFY, WRITE AND VERIFY, atomic and OR writes',
    `head -c 1024 /dev/zero >/tmp/two; sg_unmap -f --lba=64 --num=64 $sg0
     sg_compare_and_write --in=/tmp/two --lba=64 --num=1 $sg0; sg_verify --lba=0 --count=16 $sg0
     sg_verify -S --lba=0 --count=16 $sg0; sg_write_verify --lba=64 --num=2 --ilen=1024 --in=/tmp/two $sg0
     sg_write_x --atomic=0 -S --lba=64 --num=2 --in=/tmp/two $sg0; sg_write_x --or -S --lba=64 --num=2 --in=/tmp/two $sg0
     sg_sync $sg0; sg_sync -S $sg0`.replaceAll(' -S ', ' --16 '),
  ],
  [
    'EXTENDED COPY, checked by reading',
    `head -c 65536 /dev/urandom >/tmp/a; sg_dd if=/tmp/a of=$sg0 bs=512 count=128
     sg_xcopy if=$sg0 of=$sg0 bs=512 skip=0 seek=4096 count=128
     sg_dd if=$sg0 of=/tmp/b bs=512 skip=4096 count=128; cmp /tmp/a /tmp/b; sg_copy_results -p $sg0`,
    /Identification descriptor/,
  ],
  ['target port groups', 'sg_rtpg $sg0; sg_rtpg -d -e $sg0; sg_stpg -o $sg0', /active\/optimized/],
  [
    'diagnostics',
    'sg_senddiag -l $sg0; sg_senddiag -t $sg0; sg_requests $sg0; sg_timestamp $sg0',
    /GOOD status/,
  ],
  ['removable media', 'sg_start --eject $sg1; sg_start --load $sg1; sg_turs -n 2 $sg1 || sg_turs $sg1'],
  [
    'FORMAT UNIT and SANITIZE',
    'sg_format -Q -w -F $sg0; sg_sanitize -Q -z -O -w $sg0; sg_sanitize -Q -B -w $sg0',
  ],
  [
    'a reset of the logical unit, told once',
    'sg_reset -d $sg0; if sg_turs $sg0 >/dev/null 2>&1; then exit 1; fi; sg_turs $sg0',
  ],
];

for (const [title, script, expected] of sgUtilities) {
  test.serial(`sg3-utils find no fault with ${title}`, async (t) => {
    const { status, output } = await guest.exec(`${DEVICES}\nset -e\n${script}`);
    t.is(status, 0, output);
    t.notRegex(output, COMPLAINT);
    if (expected !== undefined) t.regex(output, expected);
  });
}

/** Tests of libiscsi 1.19 that fail on a local device, and why that is no fault of the disk. */
const KNOWN_FAILURES: Readonly<Record<string, string>> = {
  'GetLBAStatus.UnmapSingle':
    'asks for block i + 1, and wants the answer to begin at the next physical block',
  'Prefetch10.Simple': 'takes the CONDITION MET that is due (SBC-3 5.9) for an error of SG_IO',
  'Prefetch10.Flags': 'the same',
  'Prefetch16.Simple': 'the same',
  'Prefetch16.Flags': 'the same',
  'Sanitize.OverwriteReserved': 'the suite itself dies of SIGSEGV on a local device',
  'WriteSame10.UnmapUntilEnd': 'unmaps with a block of 0xFF and wants zeros; SBC-3 4.7.3.4.4 has it written',
  'WriteSame16.Unmap': 'reads 32 MiB in one piece, for which sg has no room',
};

/** What may be left out, by what the suite says. Anything else that is skipped is a feature that went missing. */
const MAY_BE_SKIPPED = [
  /only supported for iSCSI/,
  /[Mm]ultipath unavailable/,
  /LUN too small/,
  /No (granularity|alignment) restrictions/,
  /CRYPTO_ERASE is not implemented/,
  /not write-protected/,
  /not removable/,
];

/** Which families run on which LUN; in the second and later rounds only what needs such a disk. */
const ROUNDS: [title: string, lun: number, families: string, knownFailures: boolean][] = [
  ['commands that read, write and verify', 0, '^(Read|Write|Verify|OrWrite|Compare|Prefetch)', true],
  ['all other commands', 0, '^(?!(Read|Write|Verify|OrWrite|Compare|Prefetch))', true],
  ['removable media', 1, '^(PreventAllow|StartStopUnit|NoMedia)\\.', false],
  ['a write-protected disk', 2, '^ReadOnly\\.', false],
  ['blocks of 4096 bytes', 3, '^(GetLBAStatus|Unmap|Read10|Write10)\\.', false],
];

const LIST = `iscsi-test-cu --list | sed -n 's/^ *ALL\\.\\([^.]*\\.[^.]*\\)$/\\1/p'`;

/** A process per test, with a reset before it: neither a crash nor what a test leaves behind reaches the next one. */
function suite(lun: number, names: readonly string[]): string {
  return `${DEVICES}
for name in ${names.join(' ')}; do
  sg_reset -d $sg${lun}; sg_turs -n 2 $sg${lun} >/dev/null 2>&1
  timeout 20 iscsi-test-cu --dataloss --allow-sanitize -V --test=ALL.$name $sg${lun} >/tmp/out 2>&1
  echo "@@ $name $?"
  grep -E 'SKIPPED|FAIL|^ *tests +[0-9]|^ *[0-9]+\\. ' /tmp/out
done`;
}

interface Result {
  readonly name: string;
  readonly verdict: 'passed' | 'failed' | 'skipped';
  /** What it printed of skips and failures. */
  readonly said: string;
}

/** A test that passed after printing [SKIPPED] was skipped (CUnit does not count it so); a crash is a failure. */
function results(output: string): Result[] {
  const parts = output.split(/^@@ /m).slice(1);
  return parts.map((said) => {
    const [, name, code] = /^(\S+) (\d+)/.exec(said) ?? ['', said, ''];
    const ran = /tests +\d+ +[1-9]\d* +\d+ +0 /.test(said);
    const verdict = code !== '0' || !ran ? 'failed' : /\[SKIPPED\]/.test(said) ? 'skipped' : 'passed';
    return { name, verdict, said };
  });
}

for (const [title, lun, families, knownFailures] of ROUNDS) {
  test.serial(`libiscsi's suite finds no fault with ${title}`, async (t) => {
    t.timeout(180_000);
    const { output: list } = await guest.exec(LIST);
    const names = list.split('\n').filter((name) => name !== '' && new RegExp(families).test(name));
    const { output } = await guest.exec(suite(lun, names));
    const all = results(output);
    t.deepEqual(
      all.map(({ name }) => name),
      names,
      output,
    );
    const bad = all.filter(({ verdict }) => verdict === 'failed');
    const known = knownFailures ? names.filter((name) => name in KNOWN_FAILURES) : [];
    t.deepEqual(
      bad.map(({ name }) => name),
      known,
      bad.map(({ said }) => said).join('\n'),
    );
    const skipped = all.filter(({ verdict }) => verdict === 'skipped');
    const missing = skipped.filter(({ said }) => !MAY_BE_SKIPPED.some((reason) => reason.test(said)));
    t.deepEqual(missing, []);
    const passed = all.filter(({ verdict }) => verdict === 'passed').length;
    t.log(`${passed} passed, ${known.length} known failures, ${skipped.length} skipped of ${all.length}`);
    t.true(passed > 0);
  });
}
