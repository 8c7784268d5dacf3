/**
 * What a disk asks its file besides moving data: how long it is, where data lies in it, to grow, to be made durable
 * and closed. Each may wait for a server that never answers, so none is asked on the event loop, except where data
 * lies in files whose file system answers at once.
 */
import { constants } from 'node:os';
import { addon } from '../native/addon.ts';
import { Detached, DetachedCalls } from '../native/detached.ts';
import { LunportError, systemError } from '../native/errno.ts';
import type { BackstoreExtent } from '../scsi/backstore.ts';
import type { OpenedFile } from './open-file.ts';
import { patiently } from './patience.ts';

const { ENXIO } = constants.errno;
const SEEK_DATA = 0;
const SEEK_HOLE = 1;

export class FileUpkeep {
  private readonly opened: OpenedFile;
  private readonly calls: DetachedCalls;
  private closed: Promise<void> | undefined = undefined;

  constructor(opened: OpenedFile) {
    this.opened = opened;
    this.calls = new DetachedCalls(opened.fd);
  }

  /** What the file cannot tell counts as mapped, up to `end`. */
  extent(offset: number, end: number): BackstoreExtent | Promise<BackstoreExtent> {
    const { fd, prompt } = this.opened;
    if (!prompt) return this.askForExtent(offset, end);
    const data = addon.seekExtent(fd, offset, SEEK_DATA);
    const hole = data === offset ? addon.seekExtent(fd, offset, SEEK_HOLE) : 0;
    return extentOf(offset, end, data, hole);
  }

  /** The size now, bytes. Throws LunportError. */
  async measure(): Promise<number> {
    const { path, isFile } = this.opened;
    if (!isFile) return this.opened.measure();
    return this.checked(await patiently(path, this.calls.run(Detached.SIZE)), 'read the size of');
  }

  /** Makes a file `bytes` long; that is durable then. Throws LunportError: shrinking would cut off data. */
  async resize(bytes: number): Promise<void> {
    const { path, isFile } = this.opened;
    const now = await this.measure();
    if (bytes === now) return;
    if (!isFile || bytes < now) {
      throw new LunportError({
        code: isFile ? 'size-shrinks' : 'size-given',
        object: path,
        message: isFile
          ? `${path} has ${now} bytes; to make it ${bytes} bytes long would cut off data`
          : `${path} is a block device, which has the size that it has`,
        hint: isFile
          ? 'copy what is needed to a smaller disk'
          : 'leave out the size to take over its size of now',
      });
    }
    this.checked(await patiently(path, this.calls.run(Detached.GROW, bytes)), 'grow');
  }

  /** Makes everything durable, and closes the file in any case. Throws LunportError when it was not made durable. */
  close(): Promise<void> {
    this.closed ??= this.end();
    return this.closed;
  }

  private async end(): Promise<void> {
    const synced = this.opened.readOnly ? 0 : await this.calls.run(Detached.SYNC);
    await this.calls.run(Detached.CLOSE);
    this.checked(synced, 'make durable all that was written to');
  }

  private async askForExtent(offset: number, end: number): Promise<BackstoreExtent> {
    const data = await this.calls.run(Detached.FIND_DATA, offset);
    const hole = data === offset ? await this.calls.run(Detached.FIND_HOLE, offset) : 0;
    return extentOf(offset, end, data, hole);
  }

  private checked(result: number, deed: string): number {
    if (result < 0) throw systemError(result, deed, this.opened.path);
    return result;
  }
}

/** From the first offset of data at or behind `offset`, or -errno; `hole` counts where data begins right there. */
function extentOf(offset: number, end: number, data: number, hole: number): BackstoreExtent {
  if (data === offset) return { mapped: true, end: hole > offset ? Math.min(hole, end) : end };
  if (data < 0 && data !== -ENXIO) return { mapped: true, end };
  // ENXIO: nothing but a hole up to the end.
  return { mapped: false, end: data > offset ? Math.min(data, end) : end };
}
