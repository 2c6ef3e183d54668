// The embedded API server: objects in memory, served over TLS to clients with the token.
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AllocatorRanges } from '../apiserver/admit/allocator.ts';
import type { Reader } from '../apiserver/http/account.ts';
import { createHandler, createUpgradeHandler } from '../apiserver/http/handler.ts';
import { Journal } from '../apiserver/store/journal.ts';
import { Store } from '../apiserver/store/store.ts';
import { SERVED } from '../apiserver/verbs/kinds.ts';
import { Registry } from '../apiserver/verbs/registry.ts';
import { guardServer } from '../serve/guard.ts';
import { startControllers } from './controllers.ts';
import { seedCluster, seedNamespaces } from './seed.ts';

/**
 * An address to listen on, or a socket that listens already, perhaps in another network namespace.
 * With `orAny` the server takes another port if this one is in use.
 */
export type ListenOn = { host: string; port: number; orAny?: boolean } | { fd: number };

export interface ApiServerOptions extends AllocatorRanges {
  /**
   * Addresses for load balancers, such as 198.51.100.0/24. Null or absent without load balancers.
   */
  publicRange?: string | null;
  /** Where the folders of claims are. Null or absent if claims get no volumes. */
  claimsFolder?: string | null;
  /** Journal file. With null, the objects are lost when the server ends. */
  journal: string | null;
  /** The journal should exist. If it is missing, a message says so. */
  journalExpected?: boolean;
  /**
   * The number of changes of a kind by which a watch can lag before it must list again. The default
   * is several thousand.
   */
  eventsKept?: number;
  listen: ListenOn[];
  /** PEM. */
  tls: { key: string; cert: string };
  /** Certificate of the server's authority, for the pods of every namespace. PEM. */
  ca: string;
  /** Bearer token of the clients. */
  token: string;
  /** Accounts that may only read some kinds. */
  readers?: readonly Reader[];
  /** Socket of the pod runner, for logs, commands and ports of pods. Null without a runner. */
  kubelet: string | null;
  /** Address of this server for pods: the endpoint of the Service `kubernetes`. */
  apiAddress: { address: string; port: number };
}

export interface ApiServer {
  /** The ports of the server, in the order of `listen`. */
  ports: number[];
  close(): Promise<void>;
}

/** Starts a server with the objects of its journal, and the controllers. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const journal =
    options.journal === null ? null : Journal.open(options.journal, options.journalExpected);
  const registry = new Registry(new Store(SERVED, undefined, journal, options.eventsKept), options);
  seedCluster(registry, options.serviceRange, options.apiAddress);
  seedNamespaces(registry, options.ca);
  const controllers = startControllers(
    registry,
    options.publicRange ?? null,
    undefined,
    options.claimsFolder ?? null,
  );
  const { token, readers, kubelet } = options;
  const backend = { registry, token, kubelet, ...(readers && { readers }) };
  const handler = createHandler(backend);
  const onUpgrade = createUpgradeHandler(backend);
  const upgraded = new Set<Duplex>();
  const servers = options.listen.map(() =>
    createServer({ ...options.tls, keepAlive: true }, handler),
  );
  // A watch can be silent for long, so requests have no time limit. TCP keep-alive detects lost
  // clients.
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
