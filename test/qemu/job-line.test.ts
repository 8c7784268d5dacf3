import { Duplex } from 'node:stream';
import test from 'ava';
import fc from 'fast-check';
import { JobLine } from '../../qemu/job-line.ts';

/** A guest's end of the line, for as far as a test needs it. */
class Line extends Duplex {
  sent = '';
  /** Called with what the host sent, when it is complete. */
  onRun: (token: string, script: string) => void = () => {};

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.sent += bytes.toString();
    const match = /^run (\S+) (\d+)\n/.exec(this.sent);
    if (match !== null && this.sent.length === match[0].length + Number(match[2])) {
      this.onRun(match[1], this.sent.slice(match[0].length));
    }
    done();
  }
}

test('output is the same however it is cut, and the marker is no part of it', async (t) => {
  const property = fc.asyncProperty(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 }),
    fc.integer({ min: 0, max: 255 }),
    async (output, cuts, status) => {
      const line = new Line();
      const job = new JobLine(line);
      line.onRun = (token) => {
        const bytes = Buffer.from(`${output}\n${token} ${status}\n`);
        let at = 0;
        for (let index = 0; at < bytes.length; index++) {
          const end = at + cuts[index % cuts.length];
          line.push(bytes.subarray(at, end));
          at = end;
        }
      };
      let streamed = '';
      const result = await job.run('true', (text) => {
        streamed += text;
      });
      t.deepEqual(result, { status, output });
      t.is(streamed, output);
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

test('a hello that comes before anybody waits for it is kept', async (t) => {
  const line = new Line();
  const job = new JobLine(line);
  line.push('noise\nlunport-hello 1234 initrd\n');
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(await job.hello(), { bootId: '1234', vehicle: 'initrd' });
});

test('a second job while one runs is refused', async (t) => {
  const job = new JobLine(new Line());
  const first = job.run('sleep 1');
  await t.throwsAsync(job.run('true'), { message: /one job at a time/ });
  job.close(new Error('over'));
  await t.throwsAsync(first, { message: 'over' });
});

test('jobs of a closed line fail with the reason', async (t) => {
  const job = new JobLine(new Line());
  job.close(new Error('the guest is gone'));
  await t.throwsAsync(job.run('true'), { message: 'the guest is gone' });
});
