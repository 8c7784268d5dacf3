/**
 * The process as the control socket sees it: operations of its own (log level, stop), and all others passed on to
 * the event loops that serve. It runs where the control socket is and touches no disk itself.
 */
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
  description: 'Ends the process in good order; the connection closes when every disk is durable.',
  schema: z.strictObject({}),
  scope: Scope.ALL,
  async run(daemon: Daemon) {
    daemon.stopping = true;
    setImmediate(() => daemon.options.stop());
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

export class Daemon {
  readonly options: DaemonOptions;
  /** No further operation is taken. */
  stopping = false;
  private lastChange: Promise<unknown> = Promise.resolve();

  constructor(options: DaemonOptions) {
    this.options = options;
  }

  /** What the control socket calls. */
  readonly call: Call = async (name, params) => {
    if (this.stopping) {
      throw new LunportError({ code: 'stopping', object: name, message: 'lunport is about to end' });
    }
    if (Object.hasOwn(DAEMON_OPERATIONS, name)) {
      const own = DAEMON_OPERATIONS[name];
      const run = () => perform(own, name, this, params);
      return own.changes ? this.change(run) : run();
    }
    if (!findOperation(OPERATIONS, name).changes) return this.options.call(name, params);
    return this.change(async () => {
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

  /** Changes happen one after the other. */
  private change(make: () => Promise<Json>): Promise<Json> {
    const changed = this.lastChange.then(make);
    this.lastChange = changed.catch(() => {});
    return changed;
  }
}
