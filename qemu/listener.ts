import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

/** A Unix socket on which one peer is expected. */
export interface Listener {
  readonly path: string;
  readonly connected: Promise<Socket>;
  close(): void;
}

export async function listen(path: string): Promise<Listener> {
  const server: Server = createServer();
  const connected = once(server, 'connection').then(([socket]) => {
    server.close();
    return socket as Socket;
  });
  server.listen(path);
  await once(server, 'listening');
  return { path, connected, close: () => void server.close() };
}
