// The embedded API server: objects in memory, served over TLS to whoever has the token.
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AllocatorRanges } from '../apiserver/admit/allocator.ts';
import { createHandler, createUpgradeHandler } from '../apiserver/http/handler.ts';
import { Journal } from '../apiserver/store/journal.ts';
import { Store } from '../apiserver/store/store.ts';
import { SERVED } from '../apiserver/verbs/kinds.ts';
import { Registry } from '../apiserver/verbs/registry.ts';
import { guardServer } from '../serve/guard.ts';
import { startControllers } from './controllers.ts';
import { seedCluster, seedNamespaces } from './seed.ts';

/**
 * An address to listen on, with `orAny` on another port if that one is taken; or a socket that
 * listens already (perhaps in another network namespace).
 */
export type ListenOn = { host: string; port: number; orAny?: boolean } | { fd: number };

export interface ApiServerOptions extends AllocatorRanges {
  /**
   * Addresses for load balancers, such as 198.51.100.0/24; null or absent where nobody balances.
   */
  publicRange?: string | null;
  /** File that keeps what it holds; null forgets it all at the end. */
  journal: string | null;
  /** There was such a file before: if it is missing, that is said. */
  journalExpected?: boolean;
  /**
   * Changes of a kind that a watch may be behind by before it must list again; thousands unless
   * said otherwise.
   */
  eventsKept?: number;
  listen: ListenOn[];
  /** PEM. */
  tls: { key: string; cert: string };
  /** Certificate of the authority that signed it, for the pods of every namespace. PEM. */
  ca: string;
  /** What clients must bear. */
  token: string;
  /** Socket of whoever runs the pods, for their logs, commands and ports; null if nobody does. */
  kubelet: string | null;
  /** Where pods find this server: the endpoint of the Service `kubernetes`. */
  apiAddress: { address: string; port: number };
}

export interface ApiServer {
  /** Ports listened on, in the order of `listen`. */
  ports: number[];
  close(): Promise<void>;
}

/** Starts a server and the controllers over it, with what its journal remembers. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const journal =
    options.journal === null ? null : Journal.open(options.journal, options.journalExpected);
  const registry = new Registry(new Store(SERVED, undefined, journal, options.eventsKept), options);
  seedCluster(registry, options.serviceRange, options.apiAddress);
  seedNamespaces(registry, options.ca);
  const controllers = startControllers(registry, options.publicRange ?? null);
  const backend = { registry, token: options.token, kubelet: options.kubelet };
  const handler = createHandler(backend);
  const onUpgrade = createUpgradeHandler(backend);
  const upgraded = new Set<Duplex>();
  const servers = options.listen.map(() =>
    createServer({ ...options.tls, keepAlive: true }, handler),
  );
  // Watches are silent for long; clients that vanish are found by TCP.
  for (const server of servers)
    Object.assign(server, { requestTimeout: 0, keepAliveTimeout: 75_000 });
  for (const server of servers) {
    server.on('upgrade', (request, client, head) => {
      upgraded.add(client);
      client.once('close', () => upgraded.delete(client));
      onUpgrade(request, client, head);
    });
  }
  const ports = await Promise.all(servers.map((server, i) => listen(server, options.listen[i]!)));
  for (const server of servers) {
    guardServer(server, (error, what) => console.error(`API server, ${what}: ${String(error)}`));
  }
  return {
    ports,
    async close() {
      controllers.stop();
      for (const client of upgraded) client.destroy();
      await Promise.all(servers.map(close));
      journal?.close();
    },
  };
}

function listen(server: Server, on: ListenOn): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE' || !('host' in on && on.orAny)) return reject(error);
      server.once('error', reject).listen({ host: on.host, port: 0 });
    });
    server.listen(on, () => resolve((server.address() as AddressInfo).port));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
