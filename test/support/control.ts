/** A server in this process with its control socket, and a client on it. */
import { join } from 'node:path';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { describeSpec } from '../../src/target/configuration/disk-description.ts';
import { RunningConfiguration } from '../../src/target/configuration/running.ts';
import type { PlacedConfiguration } from '../../src/target/configuration/server-setup.ts';
import { ControlClient } from '../../src/target/control-client.ts';
import { ControlSocket } from '../../src/target/control-socket.ts';
import { Daemon } from '../../src/target/daemon.ts';
import { parseDisk } from '../../src/target/disk-spec.ts';
import { runOperation } from '../../src/target/operations/table.ts';
import { Server, type ServerOptions } from '../../src/target/server.ts';
import { luns } from './luns.ts';

export interface Controlled {
  readonly server: Server;
  readonly client: ControlClient;
  readonly controlPath: string;
  /** Of the only target. */
  readonly socketPath: string;
  /** Where the test may put files. */
  readonly folder: string;
  /** Warnings, oldest first. */
  readonly warnings: string[];
  /** Whether `stop` was asked for. */
  readonly stopped: () => boolean;
  readonly logLevel: () => string;
  close(): Promise<void>;
}

function configurationOf(path: string, texts: readonly string[]): PlacedConfiguration {
  const disks = texts.map((text, lun) => [`disk${lun}`, describeSpec(parseDisk(text))]);
  return {
    version: 1,
    disks: Object.fromEntries(disks),
    targets: [
      { sockets: [{ path, role: 'listen' }], luns: disks.map((_, lun) => ({ lun, disk: `disk${lun}` })) },
    ],
  };
}

export async function startControlled(
  disks: readonly string[],
  options: Partial<ServerOptions> = {},
): Promise<Controlled> {
  const folder = temporaryFolder();
  const socketPath = join(folder.path, 'target.sock');
  const controlPath = join(folder.path, 'control.sock');
  const warnings: string[] = [];
  const warn = (message: string) => void warnings.push(message);
  const log = { debug: () => {}, info: () => {}, warn, error: warn };
  const running = configurationOf(socketPath, disks);
  const server = await Server.open(
    [{ sockets: [{ path: socketPath, role: 'listen' }], luns: luns(...disks) }],
    {
      io: 'auto',
      stateDirectory: undefined,
      iscsi: undefined,
      log,
      ...options,
    },
  );
  let stopped = false;
  let level = 'info';
  const daemon = new Daemon({
    call: (name, params) => runOperation(server, name, params),
    stop: () => {
      stopped = true;
    },
    setLogLevel: (asked) => {
      level = asked;
    },
    configuration: new RunningConfiguration(running),
  });
  const socket = new ControlSocket(controlPath, daemon.call, log);
  const client = await ControlClient.connect(controlPath);
  return {
    server,
    client,
    controlPath,
    socketPath,
    folder: folder.path,
    warnings,
    stopped: () => stopped,
    logLevel: () => level,
    async close() {
      client.close();
      await server.close();
      socket.close();
      folder.remove();
    },
  };
}
