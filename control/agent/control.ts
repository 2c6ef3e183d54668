// The part of an agent that both proxies share. Keeps the objects of the cluster in tables,
// publishes changes to a sink, and serves the admin socket.
import { parseAddress, parseRange } from '../../datapath/wire/address.ts';
import type { AgentOptions } from '../agent-options.ts';
import { MONOTONIC_CLOCK } from '../clock.ts';
import { type NodeRanges, PORT_RANGES } from '../compile/node-entry.ts';
import { HealthServers, NODE_HEALTH_PORT } from '../health/health.ts';
import { checkSteering, checkTables, type HealthCheck, HealthMonitor } from '../health/monitor.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Log } from '../log.ts';
import { Tables } from '../model/tables.ts';
import { readLocalAddresses } from '../node/apply.ts';
import type { Reconciler } from '../node/reconcile.ts';
import type { Site } from '../node/site.ts';
import { type AdminRoutes, closeAdmin, serveAdmin } from '../serve/admin.ts';
import { followCluster, SOURCES } from '../sync/informers.ts';
import { keepLease } from '../sync/lease.ts';
import { OwnAddress } from '../sync/own-address.ts';
import { type ImageSink, Publisher, type PublisherOptions } from '../sync/publisher.ts';
import { RefusalEvents } from '../sync/refusal-events.ts';

export interface ControlOptions {
  options: AgentOptions;
  client: KubeClient;
  site: Site;
  /** Addresses of the API server. */
  apiAddresses: number[];
  sink: ImageSink;
  /** Compares the applied state of the system with the observed state. */
  reconciler: Pick<Reconciler, 'status' | 'stop'>;
  around?: PublisherOptions['around'];
  /** Health checks in addition to those of tables and steering, by the name of the part. */
  checks: Record<string, HealthCheck>;
  /** Routes of the admin socket. */
  routes: (tables: Tables, publisher: Publisher, monitor: HealthMonitor) => AdminRoutes;
  log: Log;
}

/**
 * Starts the control plane. Tables follow once the API server has answered. Throws KubetunError
 * KT_ADMIN_SOCKET.
 */
export async function startControl(about: ControlOptions): Promise<{ stop(): void }> {
  const { options, client, site, sink, around, checks, reconciler, log } = about;
  const { node, lease, admin } = options;
  const clock = MONOTONIC_CLOCK;
  const tables = new Tables(node);
  let syncHealth = () => {};
  const events = new RefusalEvents(client, clock, log);
  const publisher = new Publisher({
    nodeName: node,
    ranges: rangesOf(site, options),
    tables,
    sink,
    sources: SOURCES,
    ...(around && { around }),
    apiAddresses: about.apiAddresses,
    onRefusals: (refusals) => events.take(refusals),
    onRun: () => syncHealth(),
    ...{ clock, log },
  });
  const monitor = new HealthMonitor({
    checks: {
      ...{ tables: checkTables(publisher), steering: checkSteering(reconciler) },
      ...checks,
    },
    ...{ clock, log },
  });
  followAddresses(tables, publisher);
  const steered = parseAddress(site.address)!;
  // Stops in reverse order of start, also if a start fails.
  const started = new DisposableStack();
  started.defer(() => reconciler.stop());
  started.defer(() => client.close());
  started.defer(() => publisher.stop());
  started.defer(() => monitor.stop());
  started.defer(() => events.stop());
  try {
    const own = new OwnAddress({ client, node, steered: site.address, clock, log });
    started.defer(() => own.stop());
    const routes = about.routes(tables, publisher, monitor);
    const status = () => ({ ...Object(routes['/status']?.()), addresses: own.report() });
    const server = await serveAdmin(admin, { ...routes, '/status': status }, log);
    started.defer(() => closeAdmin(server));
    const health = new HealthServers({
      ...{ host: '0.0.0.0', nodePort: NODE_HEALTH_PORT },
      ...{ tables, publisher, monitor, clock, log },
    });
    started.defer(() => health.stop());
    syncHealth = () => health.sync();
    const informers = followCluster(client, tables, publisher, log, steered, (named) =>
      own.take(named.internal, named.steered),
    );
    started.defer(() => {
      for (const informer of informers) informer.stop();
    });
    const isReady = () => publisher.synced && publisher.published && monitor.isHealthy;
    if (lease) started.defer(keepLease({ client, node, isReady, clock, log }));
    return { stop: () => started.dispose() };
  } catch (error) {
    started.dispose();
    throw error;
  }
}

/**
 * Puts the node's addresses into the tables: packets from pods to them are not egress. Call it when
 * the addresses have changed.
 */
export function followAddresses(tables: Tables, publisher: Publisher): void {
  tables.putLocalAddresses(readLocalAddresses());
  if (!tables.clean) publisher.changed();
}

function rangesOf(site: Site, options: AgentOptions): NodeRanges {
  return {
    serviceRange: parseRange(site.serviceRange)!,
    podRanges: options.podRanges.map((text) => parseRange(text)!),
    ...PORT_RANGES,
  };
}
