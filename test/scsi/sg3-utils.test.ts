/** The tools of sg3-utils on the core itself: they must decode every page without a complaint. */
import test from 'ava';
import { Core, type CoreOptions, TestStore } from '../support/core.ts';
import { compileShim, SgIoServer, type ToolResult } from '../support/sg-io/sg-io-server.ts';

/** What the decoders say of data that they do not like. */
const COMPLAINT =
  /unexpected|malformed|too short|truncated|illegal|invalid|unable to|failed|not supported by|bad (field|length|page)|exceeds/i;

let shim: { path: string; remove: () => void };
test.before(async () => {
  shim = await compileShim();
});
test.after.always(() => shim.remove());

/** Runs command lines one after the other on a fresh disk. */
async function play(options: CoreOptions, lines: readonly string[]): Promise<ToolResult[]> {
  const core = new Core({ store: new TestStore(), byteLength: 1 << 22, ...options });
  core.connect('naa.5000000000000009', 2);
  const server = new SgIoServer(core.initiator, shim.path);
  try {
    const results: ToolResult[] = [];
    for (const line of lines) results.push(await server.run(line));
    return results;
  } finally {
    server.close();
  }
}

const decoded: [line: string, says: RegExp, options?: CoreOptions][] = [
  ['sg_inq DEVICE', /version=0x06 {2}\[SPC-4\][\s\S]*Unit serial number: 0123456789abcdef/],
  ['sg_inq -d DEVICE', /SAM-5[\s\S]*SPC-4[\s\S]*SBC-3/],
  ['sg_vpd -a DEVICE', /Supported VPD pages[\s\S]*Block limits VPD page[\s\S]*Logical block provisioning/],
  ['sg_vpd -p di DEVICE', /0x600140500102030405060708090a0b0c[\s\S]*Relative target port: 0x1/],
  ['sg_vpd -p sp DEVICE', /Relative port=1[\s\S]*0x5001405000000001[\s\S]*Relative port=2/],
  ['sg_vpd -p ei DEVICE', /RTD_SUP=1/],
  ['sg_vpd -p pc DEVICE', /Standby_y=1 Standby_z=1 Idle_c=1 Idle_b=1 Idle_a=1/],
  ['sg_modes -a -a DEVICE', />> Caching[\s\S]*>> Control[\s\S]*>> Control extension[\s\S]*>> Informational/],
  ['sg_modes -a -c 1 DEVICE', /changeable/],
  ['sg_modes -a -c 2 DEVICE', /default/],
  ['sg_modes -a -c 3 DEVICE', /saved/],
  ['sg_modes -a -6 DEVICE', /MODE SENSE\(6\)/],
  ['sg_modes -a -L DEVICE', /longlba=1/],
  ['sg_logs -a -a DEVICE', /number of read commands = 0[\s\S]*write cache memory hits = 0/],
  ['sg_opcodes DEVICE', /Report supported operation codes/],
  ['sg_opcodes -R -u DEVICE', /nominal timeout|Inquiry/i],
  ['sg_opcodes -o 0x12 -R DEVICE', /Command is supported[\s\S]*nominal timeout: 10 secs/],
  ['sg_opcodes -o 0xa3,0xc DEVICE', /Usage data: a3 0c 87 ff/],
  ['sg_opcodes -t -q DEVICE', /Abort task[\s\S]*I_T nexus reset/],
  ['sg_luns -s 2 DEVICE', /c101000000000000/],
  ['sg_luns -s 0x11 DEVICE', /1 lun entry/],
  ['sg_requests DEVICE', /No Sense/],
  ['sg_requests -d DEVICE', /Descriptor format/],
  ['sg_senddiag -l DEVICE', /0x00 {2}Supported diagnostic pages/],
  ['sg_test_rwbuf -s 4096 DEVICE', /Success/],
  ['sg_referrals DEVICE', /first lba 0, last lba 8191[\s\S]*port group 0 state \(active\/optimized\)/],
  ['sg_vpd --page=ref DEVICE', /Referrals/],
  ['sg_rtpg -d DEVICE', /active\/optimized[\s\S]*target port count : 02/],
  ['sg_readcap -l DEVICE', /lbpme=1, lbprz=1/],
  ['sg_get_lba_status DEVICE', /deallocated/],
  ['sg_inq DEVICE', /RMB=1/, { removable: true }],
];

for (const [line, says, options] of decoded) {
  test(`${line}${options === undefined ? '' : ` with ${JSON.stringify(options)}`}`, async (t) => {
    const [{ exit, text }] = await play(options ?? {}, [line]);
    t.is(exit, 0, text);
    t.regex(text, says);
    t.notRegex(text, COMPLAINT);
  });
}

interface Life {
  readonly title: string;
  readonly options?: CoreOptions;
  /** Command lines with what each must say, and its exit status when that is not 0. */
  readonly steps: readonly (readonly [line: string, says: RegExp, exit?: number])[];
}

const lives: Life[] = [
  {
    title: 'self-tests are run and logged',
    steps: [
      ['sg_senddiag -t DEVICE', /Default self-test returned GOOD/],
      ['sg_senddiag -s 5 DEVICE', /Foreground self-test returned GOOD/],
      ['sg_logs -p 0x10 DEVICE', /foreground short|result 0|Completed without error/i],
    ],
  },
  {
    title: 'the write cache is turned off, for now and for ever',
    steps: [
      ['sg_modes -p 8 DEVICE', /88 12 04/],
      ['sg_wr_mode -s -p 8 -c 08,12,0,0,0,0,0,0,ff,ff,ff,ff,20,0,0,0,0,0,0,0 DEVICE', /^$/],
      ['sg_modes -p 8 DEVICE', /88 12 00/],
      ['sg_modes -p 8 -c 3 DEVICE', /88 12 00/],
      ['sg_modes -p 8 -c 2 DEVICE', /88 12 04/],
    ],
  },
  {
    title: 'power conditions',
    steps: [
      ['sg_start --stop DEVICE', /^$/],
      ['sg_turs DEVICE', /not ready/, 2],
      ['sg_requests DEVICE', /initializing command required/],
      ['sg_start --start DEVICE', /^$/],
      ['sg_turs DEVICE', /^$/],
      ['sg_start --pc=2 DEVICE', /^$/],
      ['sg_requests DEVICE', /Idle condition activated by command/],
    ],
  },
  {
    title: 'a medium is locked, ejected and loaded',
    options: { removable: true },
    steps: [
      ['sg_prevent DEVICE', /^$/],
      ['sg_start --eject DEVICE', /START STOP UNIT/i, 5],
      ['sg_prevent --allow DEVICE', /^$/],
      ['sg_start --eject DEVICE', /^$/],
      ['sg_turs DEVICE', /not ready/, 2],
      ['sg_start --load DEVICE', /^$/],
      ['sg_turs DEVICE', /^$/],
    ],
  },
  {
    title: 'a persistent reservation, from its registration to its end',
    steps: [
      ['sg_persist --in -k DEVICE', /NO registered reservation keys/],
      ['sg_persist --out --register --param-sark=abc DEVICE', /LUNPORT/],
      ['sg_persist --in -k DEVICE', /0xabc/],
      ['sg_persist --out --reserve --param-rk=abc --prout-type=5 DEVICE', /LUNPORT/],
      ['sg_persist --in -r DEVICE', /Write Exclusive, registrants only/],
      ['sg_persist --in -s DEVICE', /Reservation holder[\s\S]*SAS address: 0x5000000000000001/],
      ['sg_persist --in -c DEVICE', /Replace Lost Reservation Capable\(RLR_C\): 1/],
      ['sg_persist --out --release --param-rk=abc --prout-type=5 DEVICE', /LUNPORT/],
      ['sg_persist --in -r DEVICE', /there is NO reservation held/],
      ['sg_persist --out --clear --param-rk=abc DEVICE', /LUNPORT/],
      ['sg_persist --in -k DEVICE', /NO registered reservation keys/],
    ],
  },
  {
    title: 'blocks are mapped and unmapped',
    steps: [
      ['sg_write_same --lba=0 --num=16 --in=/dev/zero --xferlen=512 DEVICE', /^$/],
      ['sg_get_lba_status DEVICE', /blocks: +16 {2}mapped/],
      ['sg_write_same -S -U --lba=0 --num=8 --xferlen=512 DEVICE', /^$/],
      ['sg_get_lba_status DEVICE', /blocks: +8 {2}deallocated/],
      ['sg_verify --lba=0 --count=100 DEVICE', /^$/],
      ['sg_sync DEVICE', /^$/],
    ],
  },
  {
    title: 'a target port group goes to standby and back',
    steps: [
      ['sg_stpg --standby --tp=0 DEVICE', /^$/],
      ['sg_referrals DEVICE', /port group 0 state \(standby\)/],
      ['sg_rtpg -d DEVICE', /standby[\s\S]*SET TARGET PORT GROUPS/],
      ['sg_turs DEVICE', /not ready/, 2],
      ['sg_stpg --optimized --tp=0 DEVICE', /^$/],
      ['sg_turs DEVICE', /^$/],
    ],
  },
  {
    title: 'a disk is formatted and sanitized',
    steps: [
      ['sg_format --format -Q --wait DEVICE', /LUNPORT/],
      ['sg_sanitize --block --quick --wait DEVICE', /LUNPORT/],
      ['sg_turs DEVICE', /^$/],
    ],
  },
  {
    title: 'clock and counters are set',
    steps: [
      ['sg_timestamp -S -m 1234 DEVICE', /^$/],
      ['sg_timestamp DEVICE', /^1234$/m],
      ['sg_logs --reset -p 2 DEVICE', /LUNPORT/],
    ],
  },
];

for (const { title, options, steps } of lives) {
  test(title, async (t) => {
    const results = await play(
      options ?? {},
      steps.map(([line]) => line),
    );
    for (const [i, [line, says, exit = 0]] of steps.entries()) {
      t.is(results[i].exit, exit, `${line}: ${results[i].text}`);
      t.regex(results[i].text, says, line);
    }
  });
}
