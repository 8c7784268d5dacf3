/** `--nbd` and its companions on the command line of `lunport serve`. */
import type { Command } from 'commander';
import { UsageError } from '../target/disk-spec.ts';
import { type NbdOptions, parseNbdAddress } from '../target/nbd-options.ts';

export interface NbdCommandOptions {
  readonly nbd?: string;
  readonly nbdTls?: string;
  readonly nbdPsk?: string;
  readonly nbdOpen?: true;
}

export function withNbdOptions(command: Command): Command {
  return command
    .option(
      '--nbd <socket|address[:port]>',
      'serve the same disks over NBD as well (port 10809 unless given)',
    )
    .option(
      '--nbd-tls <directory>',
      'require TLS, with server-cert.pem, server-key.pem and ca-cert.pem from there',
    )
    .option('--nbd-psk <file>', 'require TLS with pre-shared keys, lines of user:key')
    .option('--nbd-open', 'let any NBD client in although the address is not a loopback one');
}

/** Throws UsageError. */
export function nbdOptions({ nbd, nbdTls, nbdPsk, nbdOpen }: NbdCommandOptions): NbdOptions | undefined {
  if (nbd === undefined) {
    if (nbdTls ?? nbdPsk ?? nbdOpen) throw new UsageError('--nbd-tls, --nbd-psk and --nbd-open need --nbd');
    return undefined;
  }
  if (nbdTls !== undefined && nbdPsk !== undefined)
    throw new UsageError('--nbd-tls and --nbd-psk exclude each other');
  return { address: parseNbdAddress(nbd), certificates: nbdTls, keys: nbdPsk, open: nbdOpen === true };
}
