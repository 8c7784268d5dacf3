/** A portal with one target and one disk, in plain arrays: what a test of the iSCSI fabric starts from. */
import { IscsiNode } from '../../src/fabrics/iscsi/iscsi-node.ts';
import { type AccessControl, type IscsiTarget, OPEN_ACCESS } from '../../src/fabrics/iscsi/target-node.ts';
import { Core, type CoreOptions } from './core.ts';

export const TEST_IQN = 'iqn.2026-01.example.lunport:test';

export interface TestPortal {
  readonly core: Core;
  readonly node: IscsiNode;
  readonly port: number;
  /** What the node logged as errors: none, in most tests. */
  readonly errors: string[];
  /** A further portal, of another portal group. */
  addPortal(tag: number, host?: string): Promise<number>;
  close(): Promise<void>;
}

export interface TestPortalOptions extends CoreOptions {
  readonly access?: AccessControl;
  /** Milliseconds of silence before a ping. */
  readonly pingInterval?: number;
}

/** Listens on a free port of 127.0.0.1; close it at the test's end. */
export async function openPortal(options: TestPortalOptions = {}): Promise<TestPortal> {
  const core = new Core(options);
  const errors: string[] = [];
  const log = { info: () => {}, warn: () => {}, error: (message: string) => errors.push(message) };
  const node = new IscsiNode(core.environment, log, undefined, options.pingInterval);
  const target = (tag: number): IscsiTarget => ({
    name: TEST_IQN,
    alias: '',
    portalGroupTag: tag,
    targetPort: { name: `${TEST_IQN},t,0x000${tag}`, relativeId: tag, protocol: 5, portalGroupTag: tag },
    access: options.access ?? OPEN_ACCESS,
    lunMap: () => core.lunMap,
  });
  const addPortal = async (tag: number, host = '127.0.0.1') =>
    node.openPortal({ host, port: 0 }, [target(tag)]).port;
  return { core, node, port: await addPortal(1), errors, addPortal, close: () => node.close() };
}
