/** `--metrics ADDRESS:PORT`: the metrics over HTTP, for a Prometheus that scrapes. Reads only; nothing in it is secret. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { fromNodeError } from '../../native/errno.ts';
import type { Log } from '../server.ts';
import { CONTENT_TYPE } from './prometheus-text.ts';

const PATH = '/metrics';
const MAX_CONNECTIONS = 16;
/** Milliseconds that a request may take to come. */
const PATIENCE = 10_000;

export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
}

export class MetricsServer {
  private readonly server: Server;
  private readonly metrics: () => Promise<string>;
  private readonly log: Log;

  private constructor(metrics: () => Promise<string>, log: Log) {
    this.metrics = metrics;
    this.log = log;
    const options = { requestTimeout: PATIENCE, headersTimeout: PATIENCE };
    this.server = createServer(options, (request, response) => void this.answer(request, response));
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  /** Throws LunportError when the address cannot be had. */
  static async open(
    { host, port }: MetricsAddress,
    metrics: () => Promise<string>,
    log: Log,
  ): Promise<MetricsServer> {
    const opened = new MetricsServer(metrics, log);
    try {
      opened.server.listen(port, host);
      await once(opened.server, 'listening');
      // A connection that cannot be accepted, as when the system has no descriptors left.
      opened.server.on('error', (error) => log.warn(`metrics: ${error.message}`));
      return opened;
    } catch (error) {
      throw fromNodeError(error, 'serve metrics on', `${host} port ${port}`);
    }
  }

  get url(): string {
    const { address, port } = this.server.address() as { readonly address: string; readonly port: number };
    return `http://${address.includes(':') ? `[${address}]` : address}:${port}${PATH}`;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    if (url !== PATH) return end(response, 404, `The metrics are at ${PATH}.\n`);
    if (method !== 'GET' && method !== 'HEAD') return end(response, 405, 'They can be read only.\n');
    try {
      const text = await this.metrics();
      response.setHeader('Content-Type', CONTENT_TYPE);
      return end(response, 200, text);
    } catch (error) {
      this.log.error(`metrics: ${(error as Error).message}`);
      return end(response, 500, 'There are none, see the log.\n');
    }
  }
}

function end(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.end(text);
}
