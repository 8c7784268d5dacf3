/**
 * Lets programs of sg3-utils work on the core of a test: their SG_IO calls come over a unix socket, from the
 * shim that is preloaded into them, and go to an initiator. See sg-io-shim.c for the messages.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Initiator } from '../../../src/fabrics/loopback/initiator.ts';

const SHIM_SOURCE = 'test/support/sg-io/sg-io-shim.c';
const HEADER = 12;

export interface ToolResult {
  readonly exit: number;
  /** Standard output, then standard error. */
  readonly text: string;
}

/** The compiled shim, in a folder of its own. */
export async function compileShim(): Promise<{ path: string; remove: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'lunport-sg-io-'));
  const path = join(folder, 'sg-io-shim.so');
  const flags = ['-shared', '-fPIC', '-Wall', '-Wextra', '-Werror', '-o', path, SHIM_SOURCE, '-ldl'];
  await promisify(execFile)('cc', flags);
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

export class SgIoServer {
  private readonly initiator: Initiator;
  private readonly shim: string;
  private readonly folder = mkdtempSync(join(tmpdir(), 'lunport-sg-io-'));
  private readonly server: Server;

  /** Every command of the tools goes to LUN 0 of `initiator`. */
  constructor(initiator: Initiator, shim: string) {
    this.initiator = initiator;
    this.shim = shim;
    this.server = createServer((socket) => void this.serve(socket)).listen(this.socketPath);
  }

  private get socketPath(): string {
    return join(this.folder, 'socket');
  }

  /** Runs a tool on the unit; "DEVICE" in `line` stands for it. */
  run(line: string): Promise<ToolResult> {
    // Any character device will do: the shim answers before the kernel is asked.
    const [program, ...args] = line.replace('DEVICE', '/dev/null').split(' ');
    const env = { ...process.env, LD_PRELOAD: this.shim, LUNPORT_SG_IO: this.socketPath };
    return new Promise((resolve, reject) => {
      execFile(program, args, { env, timeout: 30_000 }, (error, stdout, stderr) => {
        const exit = error === null ? 0 : error.code;
        if (typeof exit === 'number') resolve({ exit, text: stdout + stderr });
        else reject(error ?? new Error(`${program} was killed`));
      });
    });
  }

  close(): void {
    this.server.close();
    rmSync(this.folder, { recursive: true });
  }

  private async serve(socket: Socket): Promise<void> {
    let received = Buffer.alloc(0);
    for await (const part of socket) {
      received = Buffer.concat([received, part as Buffer]);
      for (;;) {
        const size = messageSize(received);
        if (received.length < size) break;
        socket.write(await this.perform(received.subarray(0, size)));
        received = received.subarray(size);
      }
    }
  }

  private async perform(message: Buffer): Promise<Buffer> {
    const cdbEnd = HEADER + message.readUInt32LE(0);
    const { status, sense, dataIn } = await this.initiator.send({
      cdb: message.subarray(HEADER, cdbEnd),
      dataOut: Uint8Array.from(message.subarray(cdbEnd)),
      dataInLength: message.readUInt32LE(8),
    });
    const header = Buffer.alloc(HEADER);
    header.writeUInt32LE(status, 0);
    header.writeUInt32LE(sense.length, 4);
    header.writeUInt32LE(dataIn.length, 8);
    return Buffer.concat([header, sense, dataIn]);
  }
}

/** Bytes of the first message, as far as they can be told. */
function messageSize(received: Buffer): number {
  if (received.length < HEADER) return HEADER;
  return HEADER + received.readUInt32LE(0) + received.readUInt32LE(4);
}
