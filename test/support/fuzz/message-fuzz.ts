/**
 * Hostile front-ends: messages of the vhost-user protocol in any order, with edges for values, descriptors of any kind, and
 * headers that lie. Each connection lives on or ends; the process lives, leaks nothing, and serves the next guest.
 */
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { MessageFlags, Request } from '../../../src/fabrics/vhost-user/vhost-user-spec.ts';
import { addon } from '../../../src/native/addon.ts';
import { checked } from '../../../src/native/errno.ts';
import { parseDisk } from '../../../src/target/disk-spec.ts';
import { Server } from '../../../src/target/server.ts';
import { FrontEnd } from '../vhost-user/front-end.ts';
import { message } from '../vhost-user/messages.ts';
import { bootGuest } from '../vhost-user/served.ts';
import { Chance } from './chance.ts';

const REQUESTS = Object.values(Request);
const PATIENCE = 10_000;
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
  private readonly folder = temporaryFolder();

  constructor(seed: number) {
    this.chance = new Chance(seed);
  }

  async run(connections: number): Promise<void> {
    const path = join(this.folder.path, 'scsi.sock');
    const silent = () => {};
    const error = (text: string) => void this.complaints.push(text);
    const server = await Server.open(
      [{ sockets: [{ path, role: 'listen' }], disks: [parseDisk('ram:1M')] }],
      {
        io: 'auto',
        stateDirectory: undefined,
        iscsi: undefined,
        log: { debug: silent, info: silent, warn: silent, error },
      },
    );
    try {
      for (let i = 0; i < connections && this.complaints.length === 0; i++) {
        await this.connection(path);
        const end = Date.now() + PATIENCE;
        while (server.targets[0].vhostUser[0].state.frontEnd !== undefined) {
          if (Date.now() > end) this.complaints.push('a connection did not end');
          if (this.complaints.length > 0) break;
          await sleep(1);
        }
      }
      const { driver, leave } = await bootGuest(FrontEnd.connect(path));
      const { status } = await driver.execute({ cdb: [0x12, 0, 0, 0, 96, 0], dataInLength: 96 });
      if (status !== 0) this.complaints.push(`the next guest's INQUIRY ended with status ${status}`);
      leave();
    } finally {
      await server.close();
      this.folder.remove();
    }
  }

  private async connection(path: string): Promise<void> {
    const { chance } = this;
    const frontEnd = FrontEnd.connect(path);
    let open = true;
    void frontEnd.closed.then(() => {
      open = false;
    });
    // Without it most messages would be refused for want of a feature.
    if (!chance.oneIn(4)) await frontEnd.negotiate().catch(() => {});
    for (let i = 1 + chance.below(30); i > 0 && open; i--) {
      const fds = Array.from({ length: chance.pick([0, 0, 0, 1, 1, 2, 8]) }, () => this.descriptor());
      frontEnd.sendRaw(this.message(), fds);
      for (const fd of fds) addon.close(fd);
      this.runs++;
      if (chance.oneIn(3)) await new Promise(setImmediate);
    }
    await new Promise(setImmediate);
    frontEnd.close();
  }

  private message(): Uint8Array {
    const { chance } = this;
    const request = chance.oneIn(15) ? chance.pick(WORDS) : chance.pick(REQUESTS);
    const flags = chance.oneIn(15)
      ? chance.below(256)
      : MessageFlags.VERSION | (chance.oneIn(3) ? MessageFlags.NEED_REPLY : 0);
    const payload = this.payload();
    const size = chance.oneIn(20) ? chance.pick(WORDS) : payload.length;
    const bytes = message(request, payload, flags, size);
    return chance.oneIn(30) ? bytes.subarray(0, chance.below(bytes.length)) : bytes;
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

  private descriptor(): number {
    switch (this.chance.below(4)) {
      case 0:
        return checked(addon.eventfd(), 'make', 'an eventfd');
      case 1:
        return checked(addon.memfd('lunport-fuzz', 1 << 16), 'make', 'a memfd');
      case 2:
        return openSync('/dev/null', 'r');
      default:
        return openSync('/proc/self/status', 'r');
    }
  }
}
