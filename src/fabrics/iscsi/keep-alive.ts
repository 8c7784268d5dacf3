/**
 * Finds connections whose initiator is gone without a word (RFC 7143 11.19: the target's ping): who was silent for
 * a while gets a NOP-In, and who does not answer that is given up. One timer for all, and none without connections.
 */
import type { Connection } from './connection.ts';

/** Milliseconds of silence before a ping. */
const PING_INTERVAL = 30_000;
/** Intervals without an answer before giving up: single-threaded initiators sleep for a minute (libiscsi's suite). */
const PATIENCE = 3;

export class KeepAlive {
  private readonly interval: number;
  private readonly connections = new Set<Connection>();
  private timer: NodeJS.Timeout | undefined = undefined;

  constructor(interval = PING_INTERVAL) {
    this.interval = interval;
  }

  add(connection: Connection): void {
    this.connections.add(connection);
    if (this.timer !== undefined) return;
    this.timer = setInterval(() => this.tick(), this.interval);
    this.timer.unref();
  }

  remove(connection: Connection): void {
    this.connections.delete(connection);
    if (this.connections.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private tick(): void {
    for (const connection of [...this.connections]) {
      if (connection.heard) {
        connection.heard = false;
        connection.silentTicks = 0;
        continue;
      }
      connection.silentTicks++;
      // A discovery session knows no NOP (RFC 7143 4.3), and is over soon.
      if (connection.silentTicks === 1 && connection.session !== undefined) connection.ping();
      else if (connection.silentTicks > PATIENCE) connection.close('no answer to a ping');
    }
  }
}
