/**
 * Hostile front-ends: messages of the vhost-user protocol in any order, most of them nearly right, with edges for values,
 * descriptors of any kind, headers that lie, and memory that is taken away. Each connection lives on or ends; the process
 * lives, lets go of all that it was handed, and serves the next guest.
 */
import { ftruncateSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { MessageFlags, Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';
import { Server } from '../../../src/target/server.ts';
import { luns } from '../luns.ts';
import { FrontEnd } from '../vhost-user/front-end.ts';
import { message } from '../vhost-user/messages.ts';
import { bootGuest, resources } from '../vhost-user/served.ts';
import { socketPair } from '../vhost-user/socket-pair.ts';
import { Chance } from './chance.ts';
import { type LikelyDescriptor, LikelyMessages, REGION_BYTES } from './likely-messages.ts';

/** Those that nobody has here, or that end most connections at once, come by the numbers in WORDS. */
const RARE: ReadonlySet<number> = new Set([
  Request.SET_STATUS,
  Request.GET_STATUS,
  Request.SET_VRING_ENDIAN,
  Request.SET_PROTOCOL_FEATURES,
]);
const REQUESTS = Object.values(Request).filter((request) => !RARE.has(request));
/** What comes first mostly: without memory and rings there is little to break. */
const START = [
  Request.SET_MEM_TABLE,
  ...[Request.SET_VRING_NUM, Request.SET_VRING_ADDR, Request.SET_VRING_CALL],
  ...[Request.SET_VRING_KICK, Request.SET_VRING_ENABLE],
] as const;
/** Milliseconds: more than the back-end's own patience. */
const PATIENCE = 30_000;
/** What lengths and addresses are made of. */
const WORDS = [
  0,
  1,
  2,
  3,
  7,
  8,
  128,
  255,
  256,
  1024,
  32768,
  65536,
  1 << 20,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_ffff,
];

export class MessageFuzz {
  readonly complaints: string[] = [];
  /** Messages that were sent. */
  runs = 0;
  private readonly chance: Chance;
  private readonly likely: LikelyMessages;
  private readonly folder = temporaryFolder();

  constructor(seed: number) {
    this.chance = new Chance(seed);
    this.likely = new LikelyMessages(this.chance);
  }

  async run(connections: number): Promise<void> {
    const socket = (name: string) => join(this.folder.path, name);
    const silent = () => {};
    const error = (text: string) => void this.complaints.push(text);
    const target = (device: 'scsi' | 'blk') => ({
      sockets: [{ path: socket(device), role: 'listen' as const }],
      luns: luns('ram:1M'),
      device,
    });
    const server = await Server.open([target('scsi'), target('blk')], {
      io: 'auto',
      stateDirectory: undefined,
      iscsi: undefined,
      log: { debug: silent, info: silent, warn: silent, error },
    });
    const before = resources();
    try {
      for (let i = 0; i < connections && this.complaints.length === 0; i++) {
        await this.connection(socket(this.chance.oneIn(3) ? 'blk' : 'scsi'));
        await this.alone(server);
      }
      if (this.complaints.length === 0) await this.checkAlive(socket('scsi'));
      await this.alone(server);
      const after = resources();
      for (const what of ['fds', 'mappings'] as const)
        if (after[what] !== before[what])
          this.complaints.push(`${before[what]} ${what} became ${after[what]}`);
    } finally {
      await server.close();
      this.folder.remove();
    }
  }

  private async alone({ targets }: Server): Promise<void> {
    const end = Date.now() + PATIENCE;
    while (targets.some(({ vhostUser }) => vhostUser[0].state.frontEnd !== undefined)) {
      if (Date.now() > end) {
        this.complaints.push('a connection did not end');
        return;
      }
      await sleep(1);
    }
  }

  private async checkAlive(path: string): Promise<void> {
    const { driver, leave } = await bootGuest(FrontEnd.connect(path));
    const { status } = await driver.execute({ cdb: [0x12, 0, 0, 0, 96, 0], dataInLength: 96 });
    if (status !== 0) this.complaints.push(`the next guest's INQUIRY ended with status ${status}`);
    leave();
  }

  private async connection(path: string): Promise<void> {
    const { chance } = this;
    const frontEnd = FrontEnd.connect(path);
    let open = true;
    void frontEnd.closed.then(() => {
      open = false;
    });
    const memory = this.memory();
    // Without it most messages would be refused for want of a feature.
    const isNegotiated = !chance.oneIn(20);
    if (isNegotiated) {
      await frontEnd.negotiate(this.likely.features(), this.likely.protocolFeatures()).catch(() => {});
    }
    frontEnd.channel.onFrame = ({ fds }) => {
      for (const fd of fds) addon.close(fd);
    };
    const first = isNegotiated ? [...START] : [];
    for (let i = 1 + chance.below(90); i > 0 && open; i--) {
      const request = first.shift() ?? (chance.oneIn(150) ? chance.pick(WORDS) : chance.pick(REQUESTS));
      const fds = await this.descriptors(request, memory);
      frontEnd.sendRaw(this.message(request), fds);
      for (const fd of fds) if (fd !== memory) addon.close(fd);
      this.runs++;
      if (chance.oneIn(3)) await new Promise(setImmediate);
      if (chance.oneIn(150)) ftruncateSync(memory, 0);
    }
    await new Promise(setImmediate);
    frontEnd.close();
    addon.close(memory);
  }

  /** A file that regions, logs and in-flight buffers are said to be in, with some rubbish in it. */
  private memory(): number {
    const { chance } = this;
    const fd = checked(addon.memfd('lunport-fuzz', REGION_BYTES), 'make', 'a memfd');
    for (let i = chance.below(20); i > 0; i--) {
      const bytes = chance.bytes(64);
      writeSync(fd, bytes, 0, bytes.length, 16 * chance.below(REGION_BYTES / 16 - 4));
    }
    return fd;
  }

  private message(request: number): Uint8Array {
    const { chance } = this;
    const flags = chance.oneIn(200)
      ? chance.below(256)
      : MessageFlags.VERSION | (chance.oneIn(3) ? MessageFlags.NEED_REPLY : 0);
    const payload = chance.oneIn(60) ? this.payload() : this.damaged(this.likely.payload(request));
    const size = chance.oneIn(300) ? chance.pick(WORDS) : payload.length;
    const bytes = message(request, payload, flags, size);
    return chance.oneIn(300) ? bytes.subarray(0, chance.below(bytes.length)) : bytes;
  }

  /** One word is changed, now and then. */
  private damaged(payload: Uint8Array): Uint8Array {
    const { chance } = this;
    if (payload.length < 4 || !chance.oneIn(30)) return payload;
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    view.setUint32(4 * chance.below(Math.floor(payload.length / 4)), chance.pick(WORDS), true);
    return payload;
  }

  /** Little-endian words, mostly as many as some message has. */
  private payload(): Uint8Array {
    const { chance } = this;
    if (chance.oneIn(12)) return chance.bytes(chance.below(600));
    const words = chance.pick([0, 2, 2, 2, 4, 5, 8, 10, 12]);
    const view = new DataView(new ArrayBuffer(words * 4));
    for (let i = 0; i < words; i++) {
      // Most words are small, or nobody would get past the first check.
      view.setUint32(i * 4, chance.oneIn(3) ? chance.pick(WORDS) : chance.below(4), true);
    }
    return new Uint8Array(view.buffer);
  }

  private async descriptors(request: number, memory: number): Promise<number[]> {
    const { chance } = this;
    if (!chance.oneIn(60)) {
      const likely = this.likely.descriptor(request);
      return likely === 'none' ? [] : [await this.descriptor(likely, memory)];
    }
    const fds: number[] = [];
    for (let i = chance.pick([0, 1, 1, 2, 8]); i > 0; i--) {
      const kind = chance.pick(['memory', 'eventfd', 'channel', 'device', 'file'] as const);
      fds.push(await this.descriptor(kind, memory));
    }
    return fds;
  }

  private async descriptor(
    kind: Exclude<LikelyDescriptor, 'none'> | 'device' | 'file',
    memory: number,
  ): Promise<number> {
    const { chance } = this;
    switch (kind) {
      case 'memory':
        return memory;
      case 'eventfd':
        return checked(addon.eventfd(), 'make', 'an eventfd');
      case 'channel': {
        const [ours, theirs] = await socketPair();
        // What comes by it is as hostile as the rest.
        if (chance.oneIn(2)) writeSync(ours, this.message(chance.pick([1, 2, 4, chance.below(256)])));
        addon.close(ours);
        return theirs;
      }
      case 'device':
        return openSync('/dev/null', 'r');
      case 'file':
        return openSync('/proc/self/status', 'r');
    }
  }
}
