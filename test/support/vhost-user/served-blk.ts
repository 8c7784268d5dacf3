/** A virtio block device behind a vhost-user socket in this process, and a guest on it. */
import { join } from 'node:path';
import { temporaryFolder } from '../../../qemu/temporary-folder.ts';
import { Server } from '../../../src/target/server.ts';
import { luns } from '../luns.ts';
import { BlkGuest, type BlkOptions, type BlkParts } from './blk-guest.ts';

export class ServedBlk extends BlkGuest {
  readonly server: Server;
  private readonly folder: { remove(): void };

  private constructor(parts: BlkParts, server: Server, folder: { remove(): void }) {
    super(parts);
    this.server = server;
    this.folder = folder;
  }

  static async start(disk: string, options?: BlkOptions): Promise<ServedBlk> {
    const folder = temporaryFolder();
    const path = join(folder.path, 'blk.sock');
    const silent = () => {};
    const server = await Server.open(
      [{ sockets: [{ path, role: 'listen' }], luns: luns(disk), device: 'blk' }],
      {
        io: 'auto',
        stateDirectory: undefined,
        iscsi: undefined,
        log: { debug: silent, info: silent, warn: silent, error: console.error },
      },
    );
    return new ServedBlk(await BlkGuest.boot(path, options), server, folder);
  }

  protected override async stopped(): Promise<void> {
    await this.server.close();
    this.folder.remove();
  }
}
