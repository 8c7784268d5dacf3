import test from 'ava';
import fc from 'fast-check';
import { ByteQueue } from '../../../src/fabrics/nbd/byte-queue.ts';

test('a byte queue gives back what was put in, however it was cut', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), fc.array(fc.nat(30)), (chunks, takes) => {
        const queue = new ByteQueue();
        const whole = Buffer.concat(chunks);
        for (const chunk of chunks) queue.push(Buffer.from(chunk));
        let at = 0;
        for (const [i, length] of takes.entries()) {
          const left = whole.length - at;
          if (i % 3 === 0) {
            const bytes = queue.take(length);
            if (bytes === undefined) {
              if (length <= left) throw new Error('had enough');
              continue;
            }
            if (!bytes.equals(whole.subarray(at, at + length))) throw new Error('took something else');
            at += length;
          } else {
            const into = Buffer.alloc(length);
            const moved = i % 3 === 1 ? queue.moveTo(into, 0, length) : queue.skip(length);
            if (moved !== Math.min(left, length)) throw new Error('moved another number');
            if (i % 3 === 1 && !into.subarray(0, moved).equals(whole.subarray(at, at + moved)))
              throw new Error('moved something else');
            at += moved;
          }
          if (queue.length !== whole.length - at) throw new Error('lost count');
        }
      }),
    ),
  );
});

test('a byte queue keeps what waits when the memory that it came in is used again', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.uint8Array({ maxLength: 20 }), fc.nat(30))), (rounds) => {
        const queue = new ByteQueue();
        const input = Buffer.alloc(20);
        const whole = Buffer.concat(rounds.map(([bytes]) => bytes));
        let at = 0;
        for (const [bytes, wanted] of rounds) {
          input.set(bytes);
          queue.push(input.subarray(0, bytes.length));
          const into = Buffer.alloc(wanted);
          const moved = queue.moveTo(into, 0, wanted);
          if (!into.subarray(0, moved).equals(whole.subarray(at, at + moved)))
            throw new Error('something else');
          at += moved;
          queue.keep();
          input.fill(0xff);
        }
        const rest = queue.take(queue.length)!;
        if (!rest.equals(whole.subarray(at))) throw new Error('the rest is something else');
      }),
    ),
  );
});
