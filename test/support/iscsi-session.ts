/** A session with a portal of one disk, for tests that speak iSCSI PDU by PDU. */
import { Bhs } from '../../src/fabrics/iscsi/iscsi-spec.ts';
import { IscsiClient, type LoginOptions } from './iscsi-client.ts';
import { openPortal, TEST_IQN, type TestPortal, type TestPortalOptions } from './iscsi-portal.ts';

/** The F bit of a PDU: nothing of its sequence follows. */
export const FINAL = 0x80;
export const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
export const write10 = (lba: number, blocks: number) => [0x2a, 0, 0, 0, 0, lba, 0, 0, blocks, 0];
export const opcodeOf = (header: Buffer | undefined) => (header === undefined ? undefined : header[0] & 0x3f);
/** The TSIH that a Login response gives. */
export const tsihOf = (client: { header: Buffer } | undefined) => client!.header.readUInt16BE(Bhs.TSIH);

export interface Opened {
  readonly open: TestPortal;
  readonly client: IscsiClient;
  readonly tsih: number;
}

/** A portal of one disk, and a session with it. */
export async function session(options: TestPortalOptions = {}, login: LoginOptions = {}): Promise<Opened> {
  const open = await openPortal(options);
  const client = await IscsiClient.open(open.port);
  const tsih = tsihOf(await client.login({ target: TEST_IQN, ...login }));
  await client.ready();
  return { open, client, tsih };
}

/** Ends the test: nothing may have been logged as a defect, and no buffer may be missing. */
export async function over(
  { open, client }: Opened,
  ...others: IscsiClient[]
): Promise<{ buffers: number; defects: string[] }> {
  for (const one of [client, ...others]) one.close();
  await open.close();
  return { buffers: open.core.environment.memory.outstanding, defects: open.errors };
}
/** What `over` tells when nothing is wrong. */
export const CLEAN = { buffers: 0, defects: [] };
