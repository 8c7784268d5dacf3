/**
 * The promise of status GOOD, without a guest: a mock front-end writes, lunport is killed by SIGKILL, and the image
 * is read behind its back. What was acknowledged is there, and what was under way is there whole or not at all.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LunportChild } from '../qemu/lunport-child.ts';
import { temporaryFolder } from '../qemu/temporary-folder.ts';
import { FrontEnd } from '../test/support/vhost-user/front-end.ts';
import { GuestMemory } from '../test/support/vhost-user/guest-memory.ts';
import { type ScsiResult, VirtioScsiDriver } from '../test/support/vhost-user/virtio-scsi-driver.ts';

export interface PowerCutResult {
  readonly rounds: number;
  /** Writes that ended with GOOD. */
  readonly acknowledged: number;
  readonly badBytes: number;
}

const WORKERS = 32;
const BLOCK = 512;
/** Blocks per write. */
const LENGTH = 16;
const MEMORY = 16 << 20;
const ALIVE_MS = { least: 30, spread: 200 };
const GOOD = 0;
const UNIT_ATTENTION = 0x06;

/** What a worker's part of the disk may hold: the value of the last GOOD, or the one under way. */
interface Slot {
  acknowledged: number;
  underWay: number;
}

/** A write whose every byte tells its round, so that a torn one is seen. */
function write10(slot: number, value: number): { cdb: number[]; dataOut: Uint8Array } {
  const lba = slot * LENGTH;
  const cdb = [0x2a, 0, 0, 0, lba >> 8, lba & 0xff, 0, 0, LENGTH, 0];
  return { cdb, dataOut: new Uint8Array(LENGTH * BLOCK).fill(value) };
}

function attention({ status, sense }: ScsiResult): boolean {
  return status !== GOOD && (sense[2] & 0x0f) === UNIT_ATTENTION;
}

/** @throws Error when a write fails otherwise than by a unit attention */
export async function powerCutRounds(
  rounds: number,
  onRound?: (round: number) => void,
): Promise<PowerCutResult> {
  const folder = temporaryFolder();
  const image = join(folder.path, 'disk.img');
  const socket = join(folder.path, 'serve.sock');
  const slots: Slot[] = Array.from({ length: WORKERS }, () => ({ acknowledged: 0, underWay: 0 }));
  let acknowledged = 0;
  let badBytes = 0;
  try {
    for (let round = 1; round <= rounds; round++) {
      const lunport = await LunportChild.serve([
        `${image},create,size=1M`,
        '--socket',
        socket,
        '--ephemeral',
      ]);
      try {
        acknowledged += await writeUntilKilled(lunport, socket, slots);
      } finally {
        await lunport.kill();
      }
      badBytes += compare(image, slots);
      onRound?.(round);
    }
    return { rounds, acknowledged, badBytes };
  } finally {
    folder.remove();
  }
}

async function writeUntilKilled(lunport: LunportChild, socket: string, slots: Slot[]): Promise<number> {
  const memory = new GuestMemory([{ guestAddress: 0, length: MEMORY }]);
  const frontEnd = FrontEnd.connect(socket);
  await frontEnd.negotiate();
  await frontEnd.shareMemory(memory);
  const driver = await VirtioScsiDriver.start(frontEnd, memory);
  let acknowledged = 0;
  let failure: Error | undefined;
  let killed = false;
  /** Requests that the dead process kept never resolve: such a worker is forgotten with its promise. */
  const work = async (number: number) => {
    const slot = slots[number];
    while (!killed && failure === undefined) {
      slot.underWay = (slot.acknowledged % 255) + 1;
      const result = await driver.execute(write10(number, slot.underWay));
      if (attention(result)) continue;
      if (result.status !== GOOD) failure = new Error(`a write ended with status ${result.status}`);
      slot.acknowledged = slot.underWay;
      acknowledged++;
    }
  };
  for (const number of slots.keys()) void work(number);
  await sleep(ALIVE_MS.least + Math.random() * ALIVE_MS.spread);
  // From here on, an acknowledgement in the ring is collected by the poll before the image is compared.
  await lunport.kill();
  await sleep(20);
  killed = true;
  driver.close();
  frontEnd.close();
  memory.close();
  if (failure !== undefined) throw failure;
  return acknowledged;
}

/** Bytes that are neither of what their slot may hold. A slot's bytes must be all alike, too. */
function compare(image: string, slots: Slot[]): number {
  const bytes = Buffer.alloc(LENGTH * BLOCK);
  const file = openSync(image, 'r');
  let bad = 0;
  for (const [number, slot] of slots.entries()) {
    readSync(file, bytes, 0, bytes.length, number * bytes.length);
    const value = bytes[0] === slot.underWay ? slot.underWay : slot.acknowledged;
    bad += bytes.filter((byte) => byte !== value).length;
    slot.acknowledged = value;
  }
  closeSync(file);
  return bad;
}
