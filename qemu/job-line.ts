import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { HELLO, STATUS, TOKEN_PREFIX, TOKEN_RANDOM_BYTES } from './job-line-spec.ts';

export interface Hello {
  /** Another one after each boot. */
  readonly bootId: string;
  readonly vehicle: string;
}

export interface JobResult {
  /** The script's exit status. */
  readonly status: number;
  /** Standard output and standard error, as they came. */
  readonly output: string;
}

interface Pending {
  readonly marker: Buffer;
  readonly onOutput: ((text: string) => void) | undefined;
  readonly decoder: StringDecoder;
  output: string;
  readonly resolve: (result: JobResult) => void;
  readonly reject: (error: Error) => void;
}

/** The host's end of the job line: one job at a time, output streamed, exit status. */
export class JobLine {
  readonly #stream: Duplex;
  #received: Buffer = Buffer.alloc(0);
  #pending: Pending | null = null;
  #onHello: ((hello: Hello) => void) | null = null;
  #hello: Hello | null = null;
  #closed: Error | null = null;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', (bytes: Buffer) => this.#receive(bytes));
    // Whoever closes the line knows why, and says so by close().
    stream.on('error', () => {});
  }

  /** Resolves at the next hello, or at once if one came that nobody has taken. */
  async hello(): Promise<Hello> {
    if (this.#hello !== null) {
      const hello = this.#hello;
      this.#hello = null;
      return hello;
    }
    return await new Promise((resolve) => {
      this.#onHello = resolve;
    });
  }

  /** Runs a shell script in the guest. */
  async run(script: string, onOutput?: (text: string) => void): Promise<JobResult> {
    const body = Buffer.from(script);
    return await this.#ask((token) => [`run ${token} ${body.length}\n`, body], onOutput);
  }

  /** Writes a file in the guest. `path` has no spaces at its ends and no newline. */
  async put(path: string, data: Uint8Array, mode: number): Promise<JobResult> {
    return await this.#ask((token) => [`put ${token} ${data.length} ${mode.toString(8)} ${path}\n`, data]);
  }

  /** Tells the guest to go; no answer is to be expected. */
  leave(verb: 'poweroff' | 'reboot'): void {
    this.#stream.write(`${verb}\n`);
  }

  /** Ends the line: what waits for an answer fails with `error`. */
  close(error: Error): void {
    this.#closed ??= error;
    this.#pending?.reject(error);
    this.#pending = null;
    this.#stream.destroy();
  }

  async #ask(
    message: (token: string) => [string, Uint8Array],
    onOutput?: (text: string) => void,
  ): Promise<JobResult> {
    if (this.#closed !== null) throw this.#closed;
    if (this.#pending !== null)
      throw new Error('the guest runs one job at a time, and the last one has not ended');
    const token = TOKEN_PREFIX + randomBytes(TOKEN_RANDOM_BYTES).toString('hex');
    const [head, body] = message(token);
    // Noise since the last job: programs that it left in the background.
    this.#received = Buffer.alloc(0);
    return await new Promise<JobResult>((resolve, reject) => {
      const marker = Buffer.from(`\n${token}`);
      this.#pending = { marker, onOutput, decoder: new StringDecoder(), output: '', resolve, reject };
      this.#stream.write(head);
      this.#stream.write(body);
    });
  }

  #receive(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    if (this.#pending === null) this.#receiveIdle();
    else this.#receiveOutput(this.#pending);
  }

  #receiveIdle(): void {
    const text = this.#received.toString('latin1');
    const match = HELLO.exec(text);
    if (match === null) {
      this.#received = this.#received.subarray(-256);
      return;
    }
    this.#received = this.#received.subarray(match.index + match[0].length);
    const hello = { bootId: match[1], vehicle: match[2] };
    if (this.#onHello === null) this.#hello = hello;
    else this.#onHello(hello);
    this.#onHello = null;
  }

  #receiveOutput(pending: Pending): void {
    const end = this.#received.indexOf(pending.marker);
    // Without the marker, all but what may be its beginning is output.
    const safe = end >= 0 ? end : Math.max(0, this.#received.length - pending.marker.length);
    const text = pending.decoder.write(this.#received.subarray(0, safe));
    this.#received = this.#received.subarray(safe);
    if (text !== '') {
      pending.output += text;
      pending.onOutput?.(text);
    }
    if (end < 0) return;
    const match = STATUS.exec(this.#received.toString('latin1', pending.marker.length));
    if (match === null) return;
    this.#received = this.#received.subarray(pending.marker.length + match[0].length);
    this.#pending = null;
    pending.resolve({ status: Number(match[1]), output: pending.output });
  }
}
