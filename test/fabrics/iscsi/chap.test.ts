import { createHash } from 'node:crypto';
import test from 'ava';
import { type ChapCredentials, ChapExchange, ChapResult } from '../../../src/fabrics/iscsi/chap.ts';

const ONE_WAY: ChapCredentials = { user: 'initiator', secret: 'a secret of some length' };
const MUTUAL: ChapCredentials = { ...ONE_WAY, mutualUser: 'target', mutualSecret: 'another secret' };
const ALGORITHMS: [number: string, hash: string][] = [
  ['5', 'md5'],
  ['6', 'sha1'],
  ['7', 'sha256'],
  ['8', 'sha3-256'],
];

const bytes = (text: string) => Buffer.from(text.slice(2), 'hex');

/** The first step, and what an initiator that knows `secret` would answer. */
function answerTo(exchange: ChapExchange, algorithm: string, hash: string, secret: string) {
  const challenge = new Map<string, string>();
  const result = exchange.step(new Map([['CHAP_A', algorithm]]), challenge);
  const digest = createHash(hash)
    .update(Uint8Array.of(Number(challenge.get('CHAP_I'))))
    .update(secret)
    .update(bytes(challenge.get('CHAP_C')!))
    .digest('hex');
  return { result, challenge, response: `0x${digest}` };
}

for (const [number, hash] of ALGORITHMS) {
  test(`${hash} proves the initiator`, (t) => {
    const exchange = new ChapExchange(ONE_WAY);
    const { result, challenge, response } = answerTo(exchange, number, hash, ONE_WAY.secret);
    t.is(result, ChapResult.PENDING);
    t.is(challenge.get('CHAP_A'), number);
    t.is(
      exchange.step(
        new Map([
          ['CHAP_N', 'initiator'],
          ['CHAP_R', response],
        ]),
        new Map(),
      ),
      ChapResult.DONE,
    );
  });
}

test('mutual CHAP proves the target as well', (t) => {
  const exchange = new ChapExchange(MUTUAL);
  const { response } = answerTo(exchange, '7', 'sha256', MUTUAL.secret);
  const answers = new Map<string, string>();
  const keys = new Map([
    ['CHAP_N', 'initiator'],
    ['CHAP_R', response],
    ['CHAP_I', '9'],
    ['CHAP_C', '0x00112233'],
  ]);
  t.is(exchange.step(keys, answers), ChapResult.DONE);
  t.is(answers.get('CHAP_N'), 'target');
  const expected = createHash('sha256')
    .update(Uint8Array.of(9))
    .update('another secret')
    .update(bytes('0x00112233'));
  t.is(answers.get('CHAP_R'), `0x${expected.digest('hex')}`);
});

test('our own challenge reflected is refused', (t) => {
  const exchange = new ChapExchange(MUTUAL);
  const { challenge, response } = answerTo(exchange, '5', 'md5', MUTUAL.secret);
  const keys = new Map([
    ['CHAP_N', 'initiator'],
    ['CHAP_R', response],
    ['CHAP_I', challenge.get('CHAP_I')!],
    ['CHAP_C', challenge.get('CHAP_C')!],
  ]);
  t.is(exchange.step(keys, new Map()), ChapResult.FAILED);
});

const refused: [title: string, keys: (response: string) => [string, string][]][] = [
  [
    'a wrong name',
    (response) => [
      ['CHAP_N', 'somebody'],
      ['CHAP_R', response],
    ],
  ],
  [
    'a wrong response',
    (response) => [
      ['CHAP_N', 'initiator'],
      ['CHAP_R', `${response.slice(0, -2)}zz`],
    ],
  ],
  [
    'a short response',
    () => [
      ['CHAP_N', 'initiator'],
      ['CHAP_R', '0x00'],
    ],
  ],
  [
    'a response of 1 MiB',
    () => [
      ['CHAP_N', 'initiator'],
      ['CHAP_R', `0x${'00'.repeat(1 << 20)}`],
    ],
  ],
  ['no response', () => [['CHAP_N', 'initiator']]],
  [
    'a demand for mutual CHAP without a secret for it',
    (response) => [
      ['CHAP_N', 'initiator'],
      ['CHAP_R', response],
      ['CHAP_I', '1'],
      ['CHAP_C', '0x00'],
    ],
  ],
];
for (const [title, keys] of refused) {
  test(`${title} is refused`, (t) => {
    const exchange = new ChapExchange(ONE_WAY);
    const { response } = answerTo(exchange, '5', 'md5', ONE_WAY.secret);
    t.is(exchange.step(new Map(keys(response)), new Map()), ChapResult.FAILED);
  });
}

const identifiers: [text: string, result: ChapResult][] = [
  ['0', ChapResult.DONE],
  ['255', ChapResult.DONE],
  ['0xff', ChapResult.DONE],
  ['256', ChapResult.FAILED],
  ['', ChapResult.FAILED],
  ['-1', ChapResult.FAILED],
  ['1e2', ChapResult.FAILED],
  [' 5', ChapResult.FAILED],
];
for (const [text, result] of identifiers) {
  test(`an initiator's CHAP_I of "${text}" is ${result === ChapResult.DONE ? 'taken' : 'refused'}`, (t) => {
    const exchange = new ChapExchange(MUTUAL);
    const { response } = answerTo(exchange, '5', 'md5', MUTUAL.secret);
    const keys = [
      ['CHAP_N', 'initiator'],
      ['CHAP_R', response],
      ['CHAP_I', text],
      ['CHAP_C', '0x00112233'],
    ] as const;
    t.is(exchange.step(new Map(keys), new Map()), result);
  });
}

test('the same identifier as ours with another challenge is no reflection', (t) => {
  const exchange = new ChapExchange(MUTUAL);
  const { challenge, response } = answerTo(exchange, '5', 'md5', MUTUAL.secret);
  const keys = [
    ['CHAP_N', 'initiator'],
    ['CHAP_R', response],
    ['CHAP_I', challenge.get('CHAP_I')!],
    ['CHAP_C', '0x00112233'],
  ] as const;
  t.is(exchange.step(new Map(keys), new Map()), ChapResult.DONE);
});

test('nothing is proved to an initiator that has not proved itself', (t) => {
  const exchange = new ChapExchange(MUTUAL);
  answerTo(exchange, '5', 'md5', MUTUAL.secret);
  const answers = new Map<string, string>();
  const keys = [
    ['CHAP_N', 'initiator'],
    ['CHAP_R', `0x${'00'.repeat(16)}`],
    ['CHAP_I', '1'],
    ['CHAP_C', '0x00112233'],
  ] as const;
  t.is(exchange.step(new Map(keys), answers), ChapResult.FAILED);
  t.is(answers.size, 0);
});

test('an algorithm is chosen once', (t) => {
  const exchange = new ChapExchange(ONE_WAY);
  answerTo(exchange, '5', 'md5', ONE_WAY.secret);
  t.is(exchange.step(new Map([['CHAP_A', '5']]), new Map()), ChapResult.FAILED);
});

test('an unknown algorithm is refused', (t) => {
  t.is(new ChapExchange(ONE_WAY).step(new Map([['CHAP_A', '99']]), new Map()), ChapResult.FAILED);
});

test('challenges differ', (t) => {
  const challenge = () => answerTo(new ChapExchange(ONE_WAY), '5', 'md5', '').challenge.get('CHAP_C');
  t.not(challenge(), challenge());
});
