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
  readonly warnings: string[];
  /** A further portal, of another portal group. */
  addPortal(tag: number, host?: string): Promise<number>;
  /** The same at a Unix socket. */
  addUnixPortal(tag: number, path: string): void;
  close(): Promise<void>;
}

export interface TestPortalOptions extends CoreOptions {
  readonly access?: AccessControl;
  readonly mayReset?: (initiator: string) => boolean;
  /** Milliseconds of silence before a ping. */
  readonly pingInterval?: number;
  /** Milliseconds from connecting to the full feature phase. */
  readonly loginTimeout?: number;
}

/** Listens on a free port of 127.0.0.1; close it at the test's end. */
export async function openPortal(options: TestPortalOptions = {}): Promise<TestPortal> {
  const core = new Core(options);
  const errors: string[] = [];
  const warnings: string[] = [];
  const log = {
    info: () => {},
    warn: (message: string) => warnings.push(message),
    error: (message: string) => errors.push(message),
  };
  const { pingInterval, loginTimeout } = options;
  const node = new IscsiNode({ environment: core.environment, log, pingInterval, loginTimeout });
  const target = (tag: number): IscsiTarget => ({
    name: TEST_IQN,
    alias: '',
    portalGroupTag: tag,
    targetPort: { name: `${TEST_IQN},t,0x000${tag}`, relativeId: tag, protocol: 5, portalGroupTag: tag },
    access: options.access ?? OPEN_ACCESS,
    mayReset: options.mayReset ?? (() => true),
    lunMap: () => core.lunMap,
  });
  const addPortal = async (tag: number, host = '127.0.0.1') =>
    node.openPortal({ host, port: 0 }, [target(tag)]).port;
  return {
    core,
    node,
    port: await addPortal(1),
    errors,
    warnings,
    addPortal,
    addUnixPortal: (tag, path) => void node.openPortal({ path }, [target(tag)]),
    close: () => node.close(),
  };
}
