/**
 * A new kind of disk: one that lies in memory and counts what is done to it. Run it after `make build`:
 *
 *   node dist/examples/counting-disk.js
 */
import { LocalTarget, Status, type UserBackstore } from 'lunport';

/** All that a disk needs is a size and `read`; without `write` it is read-only. Offsets and lengths in bytes. */
class CountingDisk implements UserBackstore {
  readonly byteLength = 1 << 20;
  reads = 0;
  writes = 0;
  private readonly bytes = new Uint8Array(this.byteLength);

  async read(offset: number, length: number): Promise<Uint8Array> {
    this.reads++;
    return this.bytes.slice(offset, offset + length);
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    this.writes++;
    this.bytes.set(data, offset);
  }
}

const disk = new CountingDisk();
const target = LocalTarget.open([{ name: 'counting', backstore: disk }]);
const initiator = target.connect();

// Whoever connects first hears that the disk was switched on: a unit attention, once.
const first = await initiator.send({ cdb: [0x00, 0, 0, 0, 0, 0] });
console.log(`TEST UNIT READY: ${first.status === Status.CHECK_CONDITION ? 'CHECK CONDITION' : 'GOOD'}`);

const block = new Uint8Array(512).fill(0x4c);
await initiator.send({ cdb: [0x2a, 0, 0, 0, 0, 7, 0, 0, 1, 0], dataOut: block });
const { dataIn } = await initiator.send({ cdb: [0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0], dataInLength: 512 });
console.log(`block 7 starts with ${String.fromCharCode(...dataIn.subarray(0, 4))}`);
console.log(`${disk.reads} read, ${disk.writes} write`);

await target.close();
