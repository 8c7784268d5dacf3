/**
 * Random PERSISTENT RESERVE commands from three initiators, each through two ports, against a model that follows
 * the text of SPC-4 5.12 and nothing else. Restarts come at random: everything must survive them.
 */
import assert from 'node:assert/strict';
import test from 'ava';
import fc from 'fast-check';
import type { Initiator } from '../../../src/fabrics/loopback/initiator.ts';
import { Core, TestStore } from '../../support/core.ts';
import {
  type Out,
  outcome,
  readFullStatus,
  readKeys,
  readReservation,
  sendOut,
  TYPES,
  unitAttentions,
} from '../../support/persistent-reservations.ts';

/** Even and odd neighbours are one initiator on port 1 and on port 2. */
const NEXUSES = [1, 2, 3].flatMap((digit) =>
  [1, 2].map((port) => ({ name: `naa.500000000000000${digit}`, port })),
);
/** Index into NEXUSES. */
type Who = number;
const EVERYBODY: readonly Who[] = [...NEXUSES.keys()];

interface Step {
  readonly action: Exclude<Out, 'registerAndMove' | 'replaceLost'> | 'move' | 'read' | 'write' | 'restart';
  readonly who: Who;
  readonly key: number;
  readonly actionKey: number;
  readonly type: number;
  readonly to: Who;
  readonly flag: boolean;
}

const KEYS = [0, 1, 2] as const;
const [WE, EA, WE_RO, EA_RO, WE_AR, EA_AR]: readonly number[] = Object.values(TYPES);

/** What SPC-4 says, as a table of who holds which key, and who, if anybody, holds the unit. */
class Model {
  keys: number[] = EVERYBODY.map(() => 0);
  /** `holder` is not looked at for the all registrants types. */
  held: { type: number; holder: Who } | undefined = undefined;
  generation = 0;
  pending: Set<string>[] = EVERYBODY.map(() => new Set());

  run(step: Step): string {
    const { who, key, actionKey, type } = step;
    const registered = this.keys[who] !== 0;
    if (step.action === 'restart') {
      this.pending = EVERYBODY.map(() => new Set());
      return 'good';
    }
    if (step.action === 'read' || step.action === 'write') {
      return this.mayAccess(who, step.action) ? 'good' : 'conflict';
    }
    if (step.action === 'registerAndIgnore') return this.register(step);
    if (step.action === 'register') return this.keys[who] === key ? this.register(step) : 'conflict';
    if (!registered || this.keys[who] !== key) return 'conflict';
    switch (step.action) {
      case 'reserve':
        if (this.held === undefined) this.held = { type, holder: who };
        else if (!this.isHolder(who) || this.held.type !== type) return 'conflict';
        return 'good';
      case 'release':
        if (this.held === undefined || !this.isHolder(who)) return 'good';
        if (this.held.type !== type) return '5 2604';
        if (![WE, EA].includes(type)) this.tellRegistered('2a04', who);
        this.held = undefined;
        return 'good';
      case 'clear':
        this.tellRegistered('2a03', who);
        this.keys = EVERYBODY.map(() => 0);
        this.held = undefined;
        this.generation++;
        return 'good';
      case 'move':
        return this.move(step);
      default:
        return this.preempt(who, actionKey, type);
    }
  }

  private register({ who, actionKey, flag: allPorts, action, key }: Step): string {
    if (this.keys[who] === 0 && actionKey === 0) return 'good';
    const before = this.held;
    const twins = allPorts ? [who, who ^ 1] : [who];
    for (const twin of twins) {
      if (action === 'registerAndIgnore' || this.keys[twin] === key) this.keys[twin] = actionKey;
    }
    this.releaseIfNobodyHolds();
    if (before !== undefined && this.held === undefined && [WE_RO, EA_RO].includes(before.type)) {
      this.tellRegistered('2a04', who);
    }
    this.generation++;
    return 'good';
  }

  private preempt(who: Who, actionKey: number, type: number): string {
    const named = EVERYBODY.filter((other) => this.keys[other] !== 0 && this.keys[other] === actionKey);
    const shared = this.held !== undefined && [WE_AR, EA_AR].includes(this.held.type);
    let takesOver = false;
    if (this.held !== undefined && !shared) {
      if (actionKey === 0) return '5 2600';
      takesOver = this.keys[this.held.holder] === actionKey;
    } else if (shared) {
      takesOver = actionKey === 0;
    }
    if (!takesOver && named.length === 0) return 'conflict';
    const losers = takesOver && actionKey === 0 ? EVERYBODY.filter((other) => this.keys[other] !== 0) : named;
    for (const loser of losers) {
      if (loser !== who) this.pending[loser].add('2a05');
      if (loser !== who || !takesOver) this.keys[loser] = 0;
    }
    if (takesOver) {
      if (this.held!.type !== type) this.tellRegistered('2a04', who);
      this.held = { type, holder: who };
    }
    this.releaseIfNobodyHolds();
    this.generation++;
    return 'good';
  }

  private move({ who, actionKey, to, flag: unregister }: Step): string {
    if (this.held === undefined) return '5 2400';
    if ([WE_AR, EA_AR].includes(this.held.type) || this.held.holder !== who) return 'conflict';
    if (actionKey === 0 || to >> 1 === who >> 1) return '5 2600';
    this.keys[to] = actionKey;
    if (unregister) this.keys[who] = 0;
    this.held = { type: this.held.type, holder: to };
    this.generation++;
    return 'good';
  }

  isHolder(who: Who): boolean {
    if (this.held === undefined || this.keys[who] === 0) return false;
    return [WE_AR, EA_AR].includes(this.held.type) || this.held.holder === who;
  }

  private mayAccess(who: Who, access: 'read' | 'write'): boolean {
    if (this.held === undefined || this.isHolder(who)) return true;
    if (this.keys[who] !== 0 && ![WE, EA].includes(this.held.type)) return true;
    return access === 'read' && [WE, WE_RO, WE_AR].includes(this.held.type);
  }

  private releaseIfNobodyHolds(): void {
    if (!EVERYBODY.some((who) => this.isHolder(who))) this.held = undefined;
  }

  private tellRegistered(code: string, except: Who): void {
    for (const who of EVERYBODY) if (who !== except && this.keys[who] !== 0) this.pending[who].add(code);
  }
}

/** The same commands sent to the core. */
class System {
  readonly store = new TestStore();
  core!: Core;
  initiators!: Initiator[];

  constructor() {
    this.start();
  }

  /** As after a kill: a new target over what the old one saved. */
  start(): void {
    this.core = new Core({ store: this.store, powerOnId: 'boot', byteLength: 4096 });
    this.initiators = NEXUSES.map(({ name, port }) => this.core.connect(name, port));
  }

  async run(step: Step): Promise<string> {
    const initiator = this.initiators[step.who];
    const { key, actionKey, type } = step;
    switch (step.action) {
      case 'restart':
        this.start();
        return 'good';
      case 'read':
        return outcome(await initiator.send({ cdb: [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataInLength: 512 }));
      case 'write': {
        const dataOut = new Uint8Array(512);
        return outcome(await initiator.send({ cdb: [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], dataOut }));
      }
      case 'move': {
        const { initiatorPort, targetPort } = this.initiators[step.to].nexus;
        const to = { transportId: initiatorPort.transportId, port: targetPort.relativeId };
        const fields = { key, actionKey, to, unregister: step.flag };
        return outcome(await sendOut(initiator, 'registerAndMove', fields));
      }
      default: {
        const registers = step.action === 'register' || step.action === 'registerAndIgnore';
        return outcome(
          await sendOut(initiator, step.action, { key, actionKey, type, allPorts: registers && step.flag }),
        );
      }
    }
  }
}

const step: fc.Arbitrary<Step> = fc.record({
  action: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('register', 'registerAndIgnore', 'reserve', 'preempt') },
    { weight: 4, arbitrary: fc.constantFrom('release', 'clear', 'preemptAndAbort', 'move') },
    { weight: 3, arbitrary: fc.constantFrom('read', 'write', 'restart') },
  ),
  who: fc.constantFrom(...EVERYBODY),
  key: fc.constantFrom(...KEYS),
  actionKey: fc.constantFrom(...KEYS),
  type: fc.constantFrom(...Object.values(TYPES)),
  to: fc.constantFrom(...EVERYBODY),
  flag: fc.boolean(),
}) as fc.Arbitrary<Step>;

/** Mostly the key that is registered, else the greater part of all commands would conflict. */
const steps = fc.array(fc.tuple(step, fc.integer({ min: 0, max: 3 })), { minLength: 1, maxLength: 60 });

/** All that initiators can see. Takes the unit attentions. */
async function observe({ initiators }: System) {
  const attentions: string[][] = [];
  for (const initiator of initiators) attentions.push((await unitAttentions(initiator)).sort());
  const [observer] = initiators;
  const full = await readFullStatus(observer);
  return {
    attentions,
    generation: (await readKeys(observer)).generation,
    type: (await readReservation(observer))?.type,
    registered: full
      .map(({ key, port, holder, transportId }) => `${transportId[11]},${port}: ${key} ${holder}`)
      .sort(),
  };
}

function expectedView(model: Model) {
  const attentions = model.pending.map((codes) => [...codes].sort());
  model.pending = EVERYBODY.map(() => new Set());
  const registered = EVERYBODY.filter((who) => model.keys[who] !== 0);
  return {
    attentions,
    generation: model.generation,
    type: model.held?.type,
    registered: registered
      .map(
        (who) =>
          `${NEXUSES[who].name.at(-1)},${NEXUSES[who].port}: ${model.keys[who]} ${model.isHolder(who)}`,
      )
      .sort(),
  };
}

test('random commands do what the model says, restarts in between notwithstanding', async (t) => {
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const model = new Model();
      const system = new System();
      for (const [drawn, guess] of sequence) {
        const next = guess === 0 ? drawn : { ...drawn, key: model.keys[drawn.who] };
        const expected = model.run(next);
        assert.equal(await system.run(next), expected, next.action);
        assert.deepEqual(await observe(system), expectedView(model), next.action);
      }
    }),
    { numRuns: 300 },
  );
  t.pass();
});
