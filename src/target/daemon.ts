/**
 * The process as the control socket sees it: operations of its own (log level, stop), and all others passed on to
 * the event loops that serve. It runs where the control socket is and touches no disk itself.
 */
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import type { RunningConfiguration } from './configuration/running.ts';
import type { Call } from './control-socket.ts';
import { LunportError } from './errors.ts';
import type { Sample } from './metrics/families.ts';
import { processSamples } from './metrics/process-samples.ts';
import { prometheusText } from './metrics/prometheus-text.ts';
import { type Json, type Operation, operation, perform, Scope } from './operations/operation.ts';
import { findOperation, OPERATIONS } from './operations/table.ts';
import { LOG_LEVELS } from './option-values.ts';
import { version } from './version.ts';

export interface DaemonOptions {
  /** Performs an operation of the table where it belongs. */
  readonly call: Call;
  /** Begins to end the process. */
  stop(): void;
  setLogLevel(level: string): void;
  readonly configuration: RunningConfiguration;
}

const logLevel = operation({
  description: 'Sets how much is logged.',
  schema: z.strictObject({ level: z.enum(LOG_LEVELS) }),
  scope: Scope.ALL,
  async run(daemon: Daemon, { level }) {
    daemon.options.setLogLevel(level);
    return { level };
  },
});

const stop = operation({
  description:
    'Ends the process in good order; answers when every disk is durable, or with why one is not, and hangs up.',
  schema: z.strictObject({}),
  scope: Scope.ALL,
  async run(daemon: Daemon) {
    await daemon.stop();
    return { pid: process.pid };
  },
});

const configuration = operation({
  description: 'The configuration in force, secrets included, as `--config` takes it.',
  schema: z.strictObject({}),
  scope: Scope.ALL,
  // A tree of strings, numbers and booleans.
  run: async (daemon: Daemon) => daemon.options.configuration.current as unknown as Json,
});

const save = operation({
  description: 'Writes the configuration in force to the file that was given with `--config`.',
  schema: z.strictObject({}),
  scope: Scope.ALL,
  changes: true,
  run: async (daemon: Daemon) => ({ path: await daemon.options.configuration.save() }),
});

const metrics = operation({
  description: "Counters and gauges in Prometheus's text format.",
  schema: z.strictObject({}),
  scope: Scope.ALL,
  run: async (daemon: Daemon) => ({ text: await daemon.metrics() }),
});

const DAEMON_OPERATIONS: Readonly<Record<string, Operation<Daemon>>> = {
  'log-level': logLevel,
  stop,
  configuration,
  save,
  metrics,
};

/** Milliseconds. A change may wait for a disk that hangs, and the other disks are not to wait with it. */
const CHANGE_PATIENCE = 10_000;

export class Daemon {
  readonly options: DaemonOptions;
  /** Settles with the closing of what is served. */
  private readonly closed: Promise<void>;
  private settleClosed!: (closing: Promise<void>) => void;
  /** No further operation is taken. */
  private stopping = false;
  private lastChange: Promise<unknown> = Promise.resolve();

  constructor(options: DaemonOptions) {
    this.options = options;
    this.closed = new Promise((resolve) => {
      this.settleClosed = resolve;
    });
    // There may be nobody who asked for the end.
    this.closed.catch(() => {});
  }

  /** Resolves when everything is closed. Throws what closing it throws. */
  stop(): Promise<void> {
    this.stopping = true;
    this.options.stop();
    return this.closed;
  }

  /**
   * Lets the change end that is under way, and has `closeHost` close what is served; resolves when those who asked for
   * the end have been answered. Throws what `closeHost` throws.
   */
  async close(closeHost: () => Promise<void>): Promise<void> {
    this.stopping = true;
    await Promise.race([this.lastChange, sleep(CHANGE_PATIENCE, undefined, { ref: false })]);
    this.settleClosed(closeHost());
    try {
      await this.closed;
    } finally {
      await turn();
    }
  }

  /** What the control socket calls. */
  readonly call: Call = async (name, params) => {
    this.refuseWhenStopping(name);
    if (Object.hasOwn(DAEMON_OPERATIONS, name)) {
      const own = DAEMON_OPERATIONS[name];
      const run = () => perform(own, name, this, params);
      return own.changes ? this.change(name, run) : run();
    }
    if (!findOperation(OPERATIONS, name).changes) return this.options.call(name, params);
    return this.change(name, async () => {
      const result = await this.options.call(name, params);
      await this.options.configuration.changed(name, params, result);
      return result;
    });
  };

  /** In Prometheus's text format. */
  async metrics(): Promise<string> {
    const { samples } = (await this.options.call('metrics', {})) as unknown as {
      readonly samples: readonly Sample[];
    };
    return prometheusText([...samples, ...processSamples(version())]);
  }

  private refuseWhenStopping(name: string): void {
    if (!this.stopping) return;
    throw new LunportError({ code: 'stopping', object: name, message: 'lunport is about to end' });
  }

  /** Changes happen one after the other; those that wait when the end comes do not happen. */
  private change(name: string, make: () => Promise<Json>): Promise<Json> {
    const changed = this.lastChange.then(() => {
      this.refuseWhenStopping(name);
      return make();
    });
    this.lastChange = changed.catch(() => {});
    return changed;
  }
}
