/** A portal with one target and one disk, in plain arrays: what a test of the iSCSI fabric starts from. */
import { Portal } from '../../src/fabrics/iscsi/portal.ts';
import { type AccessControl, OPEN_ACCESS } from '../../src/fabrics/iscsi/target-node.ts';
import { Core, type CoreOptions } from './core.ts';

export const TEST_IQN = 'iqn.2026-01.example.lunport:test';

export interface TestPortal {
  readonly core: Core;
  readonly portal: Portal;
  readonly port: number;
  /** For iscsi-test-cu and qemu: LUN 0. */
  readonly url: string;
}

/** Listens on a free port of 127.0.0.1; close the portal at the test's end. */
export async function openPortal(
  options: CoreOptions = {},
  access: AccessControl = OPEN_ACCESS,
  port = 0,
): Promise<TestPortal> {
  const core = new Core(options);
  const portal = new Portal(core.environment, { info: () => {}, warn: () => {} });
  portal.addTarget({
    name: TEST_IQN,
    alias: '',
    portalGroupTag: 1,
    targetPort: { name: `${TEST_IQN},t,0x0001`, relativeId: 1, protocol: 5, portalGroupTag: 1 },
    access,
    lunMap: () => core.lunMap,
  });
  const address = await portal.listen({ host: '127.0.0.1', port });
  return { core, portal, port: address.port, url: `iscsi://127.0.0.1:${address.port}/${TEST_IQN}/0` };
}
