/** An NBD server with one disk in plain arrays on a Unix socket: what a test of the NBD fabric starts from. */
import { join } from 'node:path';
import type { TlsOptions } from 'node:tls';
import { temporaryFolder } from '../../qemu/temporary-folder.ts';
import { NbdServer } from '../../src/fabrics/nbd/nbd-server.ts';
import { Nexus } from '../../src/scsi/nexus.ts';
import { Core, type CoreOptions } from './core.ts';

export const EXPORT_NAME = 'disk';

export interface TestNbdServer {
  readonly core: Core;
  readonly server: NbdServer;
  readonly path: string;
  /** For nbdinfo, qemu-img and their like. */
  readonly uri: string;
  /** Reasons why connections ended. */
  readonly endings: string[];
  close(): Promise<void>;
}

export async function openNbdServer(options: CoreOptions = {}, tls?: TlsOptions): Promise<TestNbdServer> {
  const folder = temporaryFolder();
  const path = join(folder.path, 'nbd.sock');
  const core = new Core(options);
  const endings: string[] = [];
  const note = (message: string) => void endings.push(message.replace(/^NBD: .* ended: /, ''));
  const server = new NbdServer(core.environment, { info: note, warn: note, error: note }, tls);
  const port = { name: 'naa.5001405000000100', relativeId: 0x100, protocol: 6 };
  const initiator = { name: 'naa.5000000000000055', transportId: new Uint8Array(24) };
  const nexus = new Nexus(initiator, port, core.lunMap);
  await server.addExport({ name: EXPORT_NAME, description: 'a disk in memory', nexus, lun: 0 });
  server.listen({ path });
  const scheme = tls === undefined ? 'nbd' : 'nbds';
  return {
    core,
    server,
    path,
    uri: `${scheme}+unix:///${EXPORT_NAME}?socket=${path}`,
    endings,
    async close() {
      await server.close();
      folder.remove();
    },
  };
}
