/** PERSISTENT RESERVE OUT: its parameter list (SPC-4 6.16.3). */
import test from 'ava';
import { Core } from '../../support/core.ts';
import { type Out, outCdb, outcome, parameterList } from '../../support/persistent-reservations.ts';
import { sasId, setUp } from '../../support/registered-initiators.ts';

const LIST_LENGTHS: { what: string; action: Out; list: Uint8Array; expected: string }[] = [
  { what: 'no list', action: 'register', list: new Uint8Array(0), expected: '5 1a00' },
  { what: '23 bytes', action: 'register', list: new Uint8Array(23), expected: '5 1a00' },
  { what: '25 bytes', action: 'clear', list: new Uint8Array(25), expected: '5 1a00' },
  { what: 'SPEC_I_PT without list', action: 'register', list: list24(8), expected: '5 1a00' },
  { what: 'a TransportID longer than said', action: 'register', list: specified(23, 24), expected: '5 1a00' },
  { what: 'a TransportID cut short', action: 'register', list: specified(20, 20), expected: '5 2600' },
  {
    what: 'REGISTER AND MOVE without TransportID',
    action: 'registerAndMove',
    list: list24(0),
    expected: '5 2600',
  },
  { what: 'a reserved bit', action: 'register', list: list24(0x80), expected: '5 2600' },
];
function list24(flags: number): Uint8Array {
  const list = parameterList({ actionKey: 1 });
  list[20] = flags;
  return list24Port(list);
}
/** Byte 19 is the low byte of REGISTER AND MOVE's RELATIVE TARGET PORT IDENTIFIER, and obsolete elsewhere. */
function list24Port(list: Uint8Array): Uint8Array {
  list[19] = 1;
  return list;
}
function specified(saidLength: number, length: number): Uint8Array {
  const list = parameterList({ actionKey: 1, specified: [sasId(5).subarray(0, length)] });
  list[27] = saidLength;
  return list;
}
for (const { what, action, list, expected } of LIST_LENGTHS) {
  test(`a parameter list with ${what} is refused and changes nothing`, async (t) => {
    const { core, a } = await setUp();
    const before = core.disk.reservations.persistent;
    const result = await core.connect('naa.5000000000000009').send({
      cdb: outCdb(action, 0, list.length),
      dataOut: list,
    });
    t.is(outcome(result), expected);
    t.is(core.disk.reservations.persistent, before);
    t.is(outcome(await a.send({ cdb: outCdb(action, 0, 24), dataOut: list.subarray(0, 10) })), '5 1a00');
  });
}

test('a list longer than any that makes sense is refused before it is copied', async (t) => {
  const { initiator } = new Core();
  t.is(
    outcome(await initiator.send({ cdb: outCdb('register', 0, 0xffff_ffff), dataOut: new Uint8Array(24) })),
    '5 1a00',
  );
});
