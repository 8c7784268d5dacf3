/**
 * The transmission phase of one connection: requests in, block requests to the disk, replies out in any order.
 * Memory is bounded: while too much is under way or waits for a slow reader, nothing more is parsed.
 */
import type { Memory } from '../../scsi/environment.ts';
import { BlockError } from '../loopback/block-error.ts';
import { BlockKind, type BlockRequest, type BlockRequestOwner } from '../loopback/block-request.ts';
import type { BudgetWaiter, BufferBudget } from './buffer-budget.ts';
import type { ByteQueue } from './byte-queue.ts';
import { type Agreed, NbdCommand, refusal } from './nbd-command.ts';
import type { NbdExport } from './nbd-export.ts';
import {
  Command,
  CommandFlag,
  EXTENDED_REQUEST_LENGTH,
  EXTENDED_REQUEST_MAGIC,
  MAX_PAYLOAD,
  REQUEST_LENGTH,
  REQUEST_MAGIC,
} from './nbd-spec.ts';
import { NbdProtocolError } from './protocol-error.ts';
import { blockStatusReply, dataHeader, doneReply, errorReply, ReplyForm } from './replies.ts';

/** What a transmission asks of its connection. */
export interface ReplyChannel {
  /** Sends in the order of the calls; `written` when the bytes are the kernel's, or never will be. */
  send(bytes: Uint8Array, written?: () => void): void;
  /** There is room again: `receive` may be called with what waited. */
  roomAgain(): void;
  /** The client said goodbye and everything before is answered. */
  finished(): void;
}

/** Bytes of data buffers of one connection; one more request may exceed it. */
const BUFFER_BUDGET = 64 << 20;
/** Requests of one connection whose answers the kernel has not taken yet. */
const MAX_COMMANDS = 512;

const KINDS: Readonly<Record<number, BlockKind>> = {
  [Command.READ]: BlockKind.READ,
  [Command.WRITE]: BlockKind.WRITE,
  [Command.FLUSH]: BlockKind.FLUSH,
  [Command.TRIM]: BlockKind.DISCARD,
  [Command.CACHE]: BlockKind.CACHE,
  [Command.WRITE_ZEROES]: BlockKind.WRITE_ZEROES,
};

export class Transmission implements BlockRequestOwner, BudgetWaiter {
  private readonly served: NbdExport;
  private readonly agreed: Agreed;
  private readonly form: ReplyForm;
  private readonly channel: ReplyChannel;
  private readonly memory: Memory;
  private readonly budget: BufferBudget;
  private readonly retireAnswered = (command: NbdCommand) => this.retire(command);
  private readonly free: NbdCommand[] = [];
  private readonly running = new Set<NbdCommand>();
  /** The command whose payload arrives; undefined between requests. */
  private receiving: NbdCommand | undefined = undefined;
  private received = 0;
  /** What the receiving command will be answered, 0 when it will be executed. */
  private refused = 0;
  private bufferBytes = 0;
  private commands = 0;
  private disconnecting = false;
  /** The server stops: what still comes is refused. */
  private stopping = false;
  private closed = false;
  private isBlocked = false;

  constructor(served: NbdExport, agreed: Agreed, budget: BufferBudget, channel: ReplyChannel) {
    this.served = served;
    this.agreed = agreed;
    this.channel = channel;
    this.budget = budget;
    this.memory = served.device.environment.memory;
    this.form = agreed.extended
      ? ReplyForm.EXTENDED
      : agreed.structured
        ? ReplyForm.STRUCTURED
        : ReplyForm.SIMPLE;
  }

  /** Whether requests wait until others are answered: nothing more should be read from the client for now. */
  get blocked(): boolean {
    return this.isBlocked;
  }

  private get full(): boolean {
    if (this.bufferBytes >= BUFFER_BUDGET || this.commands >= MAX_COMMANDS) return true;
    return this.bufferBytes > 0 && this.budget.exhausted;
  }

  /** Takes what it can from `queue`. Throws NbdProtocolError. */
  receive(queue: ByteQueue): void {
    while (!this.closed && !this.disconnecting) {
      if (this.receiving !== undefined) {
        if (!this.receivePayload(this.receiving, queue)) return;
        continue;
      }
      this.isBlocked = this.full;
      if (this.isBlocked) {
        if (this.budget.exhausted) this.budget.wait(this);
        return;
      }
      const header = queue.take(this.agreed.extended ? EXTENDED_REQUEST_LENGTH : REQUEST_LENGTH);
      if (header === undefined) return;
      this.request(header);
    }
  }

  /** Where the payload goes that comes next; undefined when something else comes, or it is not wanted. */
  target(): Uint8Array | undefined {
    const command = this.receiving;
    if (command?.buffer === undefined) return undefined;
    return command.buffer.bytes.subarray(this.received, command.payload);
  }

  /** So many bytes have come to where `target` said; `receive` then goes on. */
  arrived(length: number): void {
    this.received += length;
  }

  /** The connection is gone: aborts what runs. Buffers go back as the requests end. */
  close(): void {
    this.closed = true;
    if (this.receiving !== undefined) this.retire(this.receiving);
    this.receiving = undefined;
    this.budget.forget(this);
    for (const command of this.running) command.running?.abort();
  }

  /** Refuses what still comes, and has `finished` when all before is answered. */
  stop(): void {
    this.stopping = true;
    if (this.commands === 0) this.channel.finished();
  }

  /** Whether the client has said that nothing will follow. */
  get saidGoodbye(): boolean {
    return this.disconnecting;
  }

  budgetFreed(): void {
    if (!this.isBlocked) return;
    if (this.full) {
      if (this.budget.exhausted) this.budget.wait(this);
      return;
    }
    this.isBlocked = false;
    this.channel.roomAgain();
  }

  private request(header: Buffer): void {
    const { extended } = this.agreed;
    if (header.readUInt32BE(0) !== (extended ? EXTENDED_REQUEST_MAGIC : REQUEST_MAGIC)) {
      throw new NbdProtocolError(`request magic ${header.readUInt32BE(0).toString(16)}h`);
    }
    const command = this.free.pop() ?? new NbdCommand(this.retireAnswered);
    command.parse(header, extended);
    if (command.type === Command.DISC) {
      this.disconnecting = true;
      this.free.push(command);
      if (this.commands === 0) this.channel.finished();
      return;
    }
    this.commands++;
    this.refused = this.stopping ? BlockError.ESHUTDOWN : refusal(command, this.served, this.agreed);
    // Whoever knows extended headers was told the limit; a payload of an older client is read to its end.
    if (extended && command.payload > MAX_PAYLOAD) {
      throw new NbdProtocolError(`a payload of ${command.payload} bytes`);
    }
    if (this.refused === 0 && (command.type === Command.READ || command.type === Command.WRITE)) {
      command.buffer = this.memory.allocate(command.length);
      this.bufferBytes += command.length;
      this.budget.take(command.length);
    }
    this.receiving = command;
    this.received = 0;
  }

  /** False while payload is missing; otherwise the command is on its way. */
  private receivePayload(command: NbdCommand, queue: ByteQueue): boolean {
    const missing = command.payload - this.received;
    const { buffer } = command;
    this.received +=
      buffer === undefined ? queue.skip(missing) : queue.moveTo(buffer.bytes, this.received, missing);
    if (this.received < command.payload) return false;
    this.receiving = undefined;
    if (this.refused !== 0) this.fail(command, this.refused);
    else if (command.type === Command.BLOCK_STATUS) this.blockStatus(command);
    else this.execute(command);
    return true;
  }

  private execute(command: NbdCommand): void {
    const { device } = this.served;
    const { buffer } = command;
    const request = device.request();
    request.kind = KINDS[command.type];
    request.offset = command.offset;
    request.length = command.length;
    request.forceUnitAccess = (command.flags & CommandFlag.FUA) !== 0;
    request.mayUnmap = (command.flags & CommandFlag.NO_HOLE) === 0;
    request.data.clear();
    if (buffer !== undefined) request.data.add(buffer.region, buffer.offset, command.length);
    request.owner = this;
    request.context = command;
    command.running = request;
    this.running.add(command);
    request.start();
  }

  /** Called by the block request. */
  blockRequestDone(request: BlockRequest): void {
    const command = request.context as NbdCommand;
    const { error, failedAt } = request;
    command.running = undefined;
    this.running.delete(command);
    request.context = undefined;
    this.served.device.release(request);
    if (this.closed) this.retire(command);
    else if (error !== BlockError.NONE) this.fail(command, error, failedAt);
    else if (command.type === Command.READ) this.sendData(command);
    else this.channel.send(doneReply(this.form, command), command.answered);
  }

  private sendData(command: NbdCommand): void {
    this.channel.send(dataHeader(this.form, command, command.length));
    this.channel.send(command.buffer!.bytes, command.answered);
  }

  private fail(command: NbdCommand, error: number, at?: number): void {
    this.channel.send(errorReply(this.form, command, error, at), command.answered);
  }

  private blockStatus(command: NbdCommand): void {
    const { offset, length, flags } = command;
    // Without extended headers an extent's length has 32 bits, as the request's has.
    const everything = { offset, length, hole: false, zero: false };
    void this.served.device
      .extents(offset, length)
      .catch(() => undefined)
      .then((extents = [everything]) => {
        const told = (flags & CommandFlag.REQ_ONE) === 0 ? extents : extents.slice(0, 1);
        this.channel.send(blockStatusReply(this.form, command, told), command.answered);
      });
  }

  /** The command has been answered, or nobody waits for its answer. */
  private retire(command: NbdCommand): void {
    const { buffer } = command;
    if (buffer !== undefined) {
      command.buffer = undefined;
      this.bufferBytes -= command.length;
      this.memory.release(buffer);
      this.budget.giveBack(command.length);
    }
    this.commands--;
    this.free.push(command);
    if (this.closed) return;
    if ((this.disconnecting || this.stopping) && this.commands === 0) this.channel.finished();
    else if (this.isBlocked && !this.full) {
      this.isBlocked = false;
      this.channel.roomAgain();
    }
  }
}
