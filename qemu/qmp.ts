import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { GuestError } from './guest-error.ts';

interface Message {
  readonly QMP?: unknown;
  readonly event?: string;
  readonly data?: Record<string, unknown>;
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

interface Waiting {
  readonly command: string;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** QEMU's monitor: a line of JSON each way. Emits each QMP event under its name, with its data. */
export class Qmp extends EventEmitter<Record<string, [data: Record<string, unknown>]>> {
  readonly #stream: Duplex;
  readonly #waiting = new Map<number, Waiting>();
  #received = '';
  #lastId = 0;
  #closed: Error | null = null;

  constructor(stream: Duplex) {
    super();
    this.#stream = stream;
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => this.#receive(text));
    // Whoever closes the monitor knows why, and says so by close().
    stream.on('error', () => {});
  }

  /** Must come first: QEMU takes no other command before it. */
  async negotiate(): Promise<void> {
    await this.execute('qmp_capabilities');
  }

  /** @throws GuestError QMP_FAILED with QEMU's words */
  async execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (this.#closed !== null) throw this.#closed;
    const id = ++this.#lastId;
    return await new Promise((resolve, reject) => {
      this.#waiting.set(id, { command, resolve, reject });
      this.#stream.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  close(error: Error): void {
    this.#closed ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#stream.destroy();
  }

  #receive(text: string): void {
    const lines = (this.#received + text).split('\n');
    this.#received = lines.pop() ?? '';
    for (const line of lines) {
      if (line.trim() !== '') this.#handle(JSON.parse(line) as Message);
    }
  }

  #handle(message: Message): void {
    if (message.event !== undefined) {
      this.emit(message.event, message.data ?? {});
      return;
    }
    const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
    // The greeting has no id.
    if (message.id === undefined || waiting === undefined) return;
    this.#waiting.delete(message.id);
    if (message.error === undefined) {
      waiting.resolve(message.return);
    } else {
      const { class: kind, desc } = message.error;
      waiting.reject(new GuestError('QMP_FAILED', `QMP command ${waiting.command}: ${desc} (${kind})`));
    }
  }
}
