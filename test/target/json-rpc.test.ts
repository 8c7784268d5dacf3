import test from 'ava';
import fc from 'fast-check';
import { LunportError } from '../../src/target/errors.ts';
import { encodeFailure, encodeResult, parseRequest, RpcProtocolError } from '../../src/target/json-rpc.ts';

const request = (fields: object) => JSON.stringify({ jsonrpc: '2.0', method: 'list', id: 1, ...fields });

test('a request is read', (t) => {
  t.deepEqual(parseRequest(request({ params: { lun: 0 } })), {
    jsonrpc: '2.0',
    method: 'list',
    id: 1,
    params: { lun: 0 },
  });
});

const bad: [title: string, line: string][] = [
  ['no JSON', 'list'],
  ['an empty line', ''],
  ['another version', request({ jsonrpc: '1.0' })],
  ['no method', request({ method: undefined })],
  ['parameters by position', request({ params: [1] })],
  ['an id that is an object', request({ id: {} })],
  ['a batch', `[${request({})}]`],
  ['a member of its own', request({ extra: 1 })],
];
for (const [title, line] of bad) {
  test(`${title} is no request, and the answer says so`, (t) => {
    const error = t.throws(() => parseRequest(line), { instanceOf: RpcProtocolError });
    t.like(JSON.parse(error.response), { jsonrpc: '2.0', id: null, error: { message: error.message } });
  });
}

test('whatever comes is a request or an error of the protocol', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      try {
        parseRequest(line);
      } catch (error) {
        if (!(error instanceof RpcProtocolError)) throw error;
      }
    }),
  );
  t.pass();
});

test('a result and a failure are one line each', (t) => {
  t.is(
    encodeResult('a', { text: 'two\nlines' }),
    '{"jsonrpc":"2.0","id":"a","result":{"text":"two\\nlines"}}\n',
  );
  const error = new LunportError({ code: 'no-such-lun', object: 'x', message: 'm', hint: 'h' });
  t.deepEqual(JSON.parse(encodeFailure(2, error)), {
    jsonrpc: '2.0',
    id: 2,
    error: {
      code: -32000,
      message: 'm',
      data: { code: 'no-such-lun', object: 'x', message: 'm', hint: 'h' },
    },
  });
});

const numbers: [code: string, number: number][] = [
  ['unknown-operation', -32601],
  ['invalid-parameters', -32602],
  ['anything else', -32000],
];
for (const [code, number] of numbers) {
  test(`the code ${code} has the number ${number}`, (t) => {
    const { error } = JSON.parse(encodeFailure(1, new LunportError({ code, object: '', message: '' })));
    t.is(error.code, number);
  });
}

test('a defect of ours keeps its message to itself no more than its stack', (t) => {
  const { error } = JSON.parse(encodeFailure(1, new TypeError('x is undefined')));
  t.is(error.code, -32603);
  t.is(error.message, "a defect of lunport's own: x is undefined");
});
