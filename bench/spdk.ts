/**
 * SPDK's vhost target, where somebody built it: BENCH_SPDK names the command. It is no part of this project and
 * nothing here installs it; bench/README.md says how it was built for the figures in docs/performance.md.
 *
 * It opens files with O_DIRECT where it can. For a file in the page cache BENCH_SPDK_BUFFERED names a command
 * whose open() does not.
 */
import { writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { DiskKind, Disks, Target } from './targets.ts';

const BLOCK_BYTES = 512;
const NAME = 'disk';

/** How SPDK calls a disk: the method that makes it, and its parameters. */
interface BlockDevice {
  readonly name: string;
  readonly disk: DiskKind;
  readonly program: string | undefined;
  readonly method: string;
  readonly params: object;
}

export function spdkTargets(disks: Disks, env: NodeJS.ProcessEnv): Target[] {
  const { BENCH_SPDK: program, BENCH_SPDK_BUFFERED: buffered } = env;
  const blocks = { name: NAME, num_blocks: disks.bytes / BLOCK_BYTES, block_size: BLOCK_BYTES };
  const aio = {
    method: 'bdev_aio_create',
    params: { name: NAME, filename: disks.file, block_size: BLOCK_BYTES },
  };
  const uring = { ...aio, method: 'bdev_uring_create' };
  const devices: BlockDevice[] = [
    { name: 'SPDK', disk: 'null', program, method: 'bdev_null_create', params: blocks },
    { name: 'SPDK', disk: 'ram', program, method: 'bdev_malloc_create', params: blocks },
    { name: 'SPDK, libaio', disk: 'file', program: buffered, ...aio },
    { name: 'SPDK, io_uring', disk: 'file', program: buffered, ...uring },
    { name: 'SPDK, libaio', disk: 'direct', program, ...aio },
    { name: 'SPDK, io_uring', disk: 'direct', program, ...uring },
  ];
  return devices.flatMap(({ name, disk, program, method, params }): Target[] =>
    program === undefined
      ? []
      : [{ name, disk, device: 'scsi', command: (socket) => command(program, socket, method, params) }],
  );
}

/** 1 GiB beside the disk's own is what SPDK's pools want without hugepages. */
const MEMORY_MEBIBYTES = 2048 + 256;

function command(program: string, socket: string, method: string, params: object): readonly string[] {
  const folder = dirname(socket);
  const controller = basename(socket);
  const configuration = `${socket}.json`;
  const step = (name: string, parameters: object) => ({ method: name, params: parameters });
  const subsystems = [
    { subsystem: 'bdev', config: [step(method, params)] },
    {
      subsystem: 'vhost_scsi',
      config: [
        step('vhost_create_scsi_controller', { ctrlr: controller, cpumask: '0x1' }),
        step('vhost_scsi_controller_add_target', { ctrlr: controller, scsi_target_num: 0, bdev_name: NAME }),
      ],
    },
  ];
  writeFileSync(configuration, JSON.stringify({ subsystems }));
  const memory = String(MEMORY_MEBIBYTES);
  const rpc = join(folder, `${controller}.rpc`);
  // Several run at a time, of which all but one are stopped.
  const core = ['-m', '0x1', '--disable-cpumask-locks'];
  return [program, '-S', folder, '-c', configuration, ...core, '-s', memory, '-r', rpc];
}
