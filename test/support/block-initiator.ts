/** Block requests as tests send them: data in and out as arrays, and the end as a promise. */
import type { BlockError } from '../../src/fabrics/loopback/block-error.ts';
import { BlockInitiator } from '../../src/fabrics/loopback/block-initiator.ts';
import type { BlockKind, BlockRequest } from '../../src/fabrics/loopback/block-request.ts';
import { Nexus } from '../../src/scsi/nexus.ts';
import type { Core } from './core.ts';

export interface Ended {
  readonly error: BlockError;
  readonly data: Uint8Array;
}

export interface RequestOptions {
  readonly forceUnitAccess?: boolean;
  readonly mayUnmap?: boolean;
  readonly data?: Uint8Array;
}

/** A block initiator on LUN 0, through target port 3. */
export function openBlockInitiator(core: Core, name = 'naa.5000000000000077'): Promise<BlockInitiator> {
  const port = { name: 'naa.5001405000000003', relativeId: 3, protocol: 6 };
  const nexus = new Nexus({ name, transportId: new Uint8Array(24) }, port, core.lunMap);
  return BlockInitiator.open(nexus, 0, core.environment);
}

/** Starts a request; `request` is for aborting it. */
export function startRequest(
  device: BlockInitiator,
  kind: BlockKind,
  offset: number,
  length: number,
  options: RequestOptions = {},
): { readonly request: BlockRequest; readonly ended: Promise<Ended> } {
  const { memory } = device.environment;
  const request = device.request();
  const scratch = memory.allocate(Math.max(1, Math.min(length, 1 << 20)));
  if (options.data !== undefined) scratch.bytes.set(options.data);
  request.kind = kind;
  request.offset = offset;
  request.length = length;
  request.forceUnitAccess = options.forceUnitAccess ?? false;
  request.mayUnmap = options.mayUnmap ?? false;
  request.data.clear();
  request.data.add(scratch.region, scratch.offset, length);
  const ended = new Promise<Ended>((resolve) => {
    request.owner = {
      blockRequestDone: ({ error }) => {
        const data = scratch.bytes.slice(0, length);
        memory.release(scratch);
        device.release(request);
        resolve({ error, data });
      },
    };
  });
  request.start();
  return { request, ended };
}
