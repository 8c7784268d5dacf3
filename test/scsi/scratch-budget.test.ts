import test from 'ava';
import type { RunningCommand } from '../../src/fabrics/loopback/initiator.ts';
import { cdb10, cdb16, outcome, pattern } from '../support/block-cdbs.ts';
import { Core, type CoreOptions } from '../support/core.ts';

const MEBIBYTE = 1 << 20;
/** Bytes that the commands of one unit may take. */
const BUDGET = 16 * MEBIBYTE;
/** Blocks of 512 bytes that go through memory at once; VERIFY of as many takes 512 KiB. */
const CHUNK = 1024;
const FIT = BUDGET / (CHUNK * 512);

const VERIFY = 0x2f;
const BYTCHK = 0x02;
const READ = 0x28;
const ORWRITE = 0x8b;
const tick = () => new Promise(setImmediate);

/** A disk that answers nothing until it is told to. */
function holding(options: CoreOptions = {}): Core {
  return new Core({ byteLength: 4 * MEBIBYTE, hold: true, ...options });
}

function verify(core: Core, lba: number, blocks = CHUNK): RunningCommand {
  return core.initiator.start({ cdb: cdb10(VERIFY, lba, blocks) });
}

/** First blocks of what the disk was asked for, in this order. */
function asked({ backstore }: Core): number[] {
  return backstore.log.map(({ offset }) => offset / 512);
}

async function drain({ backstore }: Core, pick: (waiting: number) => number = () => 0): Promise<void> {
  for (let idle = 0; idle < 5; ) {
    await tick();
    idle = backstore.held.length === 0 ? idle + 1 : 0;
    if (idle > 0) continue;
    const [chosen] = backstore.held.splice(pick(backstore.held.length), 1);
    backstore.held.unshift(chosen);
    backstore.releaseHeld(1);
  }
}

function idle(core: Core): boolean {
  return core.environment.memory.outstanding === 0 && core.disk.rangeLocks.held === 0;
}

test('commands beyond the budget wait and start in the order in which they came', async (t) => {
  const core = holding();
  const lbas = Array.from({ length: 3 * FIT }, (_, i) => i);
  const commands = lbas.map((lba) => verify(core, lba));
  await tick();
  t.is(core.backstore.held.length, FIT);
  await drain(core);
  for (const { result } of commands) t.is(outcome(await result), 'GOOD');
  t.deepEqual(asked(core), lbas);
  t.is(core.environment.memory.mostBytes, BUDGET);
  t.true(idle(core));
});

test('what takes no memory waits for nobody', async (t) => {
  const core = holding();
  const commands = Array.from({ length: FIT + 1 }, (_, i) => verify(core, i));
  const others = [
    core.initiator.start({ cdb: cdb10(READ, 4000, 1), dataInLength: 512 }),
    core.initiator.start({ cdb: cdb10(0x35, 0, 0) }),
  ];
  await tick();
  t.is(core.backstore.held.length, FIT + 2);
  core.backstore.releaseHeld();
  for (const { result } of others) t.is(outcome(await result), 'GOOD');
  await drain(core);
  for (const { result } of commands) t.is(outcome(await result), 'GOOD');
});

test('a command that waits and is aborted ends at once, and those behind it go on', async (t) => {
  const core = holding();
  const running = Array.from({ length: FIT - 1 }, (_, i) => verify(core, i));
  // With the blocks to compare with it takes twice what is left.
  const dataOut = new Uint8Array(CHUNK * 512);
  const large = core.initiator.start({ cdb: cdb10(VERIFY, 100, CHUNK, BYTCHK), dataOut });
  const behind = verify(core, 200);
  const last = verify(core, 300);
  await tick();
  t.false(asked(core).includes(200), 'nobody overtakes');
  await core.initiator.abort(large);
  t.true((await large.result).aborted);
  await tick();
  t.true(asked(core).includes(200));
  await core.initiator.abort(last);
  t.true((await last.result).aborted);
  await drain(core);
  for (const { result } of [...running, behind]) t.is(outcome(await result), 'GOOD');
  t.false(asked(core).includes(100) || asked(core).includes(300));
  t.true(idle(core));
});

test('a reset of the unit ends all that wait', async (t) => {
  const core = holding();
  const commands = Array.from({ length: 4 * FIT }, (_, i) => verify(core, i));
  await tick();
  const reset = core.initiator.resetLogicalUnit();
  await drain(core);
  await reset;
  for (const { result } of commands) t.true((await result).aborted);
  t.is(asked(core).length, FIT);
  t.true(idle(core));
});

test('who waits for memory is in nobody’s way', async (t) => {
  const core = holding();
  const read = core.initiator.start({ cdb: cdb10(READ, 0, 1), dataInLength: 512 });
  // It has its memory and waits for the READ.
  const merge = core.initiator.start({ cdb: cdb16(ORWRITE, 0, 1), dataOut: pattern(512, 1) });
  const commands = Array.from({ length: FIT }, (_, i) => verify(core, 4096 + i));
  const waiting = verify(core, 0);
  await tick();
  t.deepEqual(asked(core).filter((lba) => lba === 0).length, 1);
  core.backstore.releaseHeld(1);
  t.is(outcome(await read.result), 'GOOD');
  await tick();
  t.is(asked(core).filter((lba) => lba === 0).length, 2, 'the merge reads');
  await drain(core);
  for (const { result } of [merge, ...commands, waiting]) t.is(outcome(await result), 'GOOD');
  t.true(idle(core));
});

test('a command larger than all of the budget runs alone', async (t) => {
  // 255 blocks of 64 KiB, twice.
  const core = holding({ byteLength: 32 * MEBIBYTE, attributes: { block_size: 65_536 } });
  t.is(core.disk.blockSize, 65_536);
  const cdb = Uint8Array.of(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0);
  const dataOut = new Uint8Array(2 * 255 * 65_536);
  const commands = [1, 2].map(() => core.initiator.start({ cdb, dataOut }));
  const small = verify(core, 300, 1);
  await tick();
  t.is(core.backstore.held.length, 1);
  await drain(core);
  for (const { result } of [...commands, small]) t.is(outcome(await result), 'GOOD');
  t.true(idle(core));
});

for (const protection of [false, true]) {
  test(`commands of all kinds end, in any order, with protection ${protection}`, async (t) => {
    let random = 4711;
    const next = (below: number) => {
      random = (random * 1103515245 + 12345) & 0x7fffffff;
      return (random >> 8) % below;
    };
    const core = holding({ protection });
    if (core.protection !== undefined) core.protection.hold = false;
    const make = (): RunningCommand => {
      const blocks = 1 + next(2 * CHUNK);
      const lba = next(8192 - blocks);
      const dataOut = new Uint8Array(blocks * 512).fill(next(100));
      const kinds = [
        () => verify(core, lba, blocks),
        () => core.initiator.start({ cdb: cdb10(VERIFY, lba, blocks, BYTCHK), dataOut }),
        () => core.initiator.start({ cdb: cdb10(0x41, lba, blocks), dataOut: dataOut.subarray(0, 512) }),
        () => core.initiator.start({ cdb: cdb16(ORWRITE, lba, blocks), dataOut }),
        () => core.initiator.start({ cdb: cdb10(0x2e, lba, blocks), dataOut }),
        () => core.initiator.start({ cdb: cdb10(0x2a, lba, blocks), dataOut }),
        () => core.initiator.start({ cdb: cdb10(READ, lba, blocks), dataInLength: blocks * 512 }),
      ];
      return kinds[next(kinds.length)]();
    };
    const commands = Array.from({ length: 200 }, make);
    const ended = Promise.all(commands.map(({ result }) => result));
    const aborts: Promise<unknown>[] = [];
    await drain(core, (waiting) => {
      if (next(8) === 0) aborts.push(core.initiator.abort(commands[next(commands.length)]));
      return next(Math.max(1, Math.min(waiting, core.backstore.held.length)));
    });
    await Promise.all(aborts);
    for (const result of await ended) t.regex(result.aborted ? 'GOOD' : outcome(result), /^(GOOD|e\/1d)/);
    t.true(idle(core));
  });
}
