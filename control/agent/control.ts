// The part of an agent that both proxies share. Keeps the objects of the cluster in tables,
// publishes changes to a sink, and serves the admin socket.
import { parseAddress, parseRange } from '../../datapath/wire/address.ts';
import type { AgentOptions } from '../agent-options.ts';
import { MONOTONIC_CLOCK } from '../clock.ts';
import { PORT_RANGES } from '../compile/node-entry.ts';
import { HealthServers, NODE_HEALTH_PORT } from '../health/health.ts';
import { checkSteering, checkTables, type HealthCheck, HealthMonitor } from '../health/monitor.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Log } from '../log.ts';
import { parseRanges } from '../model/parse.ts';
import { Tables } from '../model/tables.ts';
import { readLocalAddresses } from '../node/apply.ts';
import type { Reconciler } from '../node/reconcile.ts';
import type { Site } from '../node/site.ts';
import { describePolicies } from '../policy/describe.ts';
import { type AdminRoutes, closeAdmin, serveAdmin } from '../serve/admin.ts';
import { describeServices, refusedOf } from '../sync/describe.ts';
import { followCluster, SOURCES } from '../sync/informers.ts';
import { keepLease } from '../sync/lease.ts';
import { OwnAddress } from '../sync/own-address.ts';
import { type ImageSink, Publisher, type PublisherOptions } from '../sync/publisher.ts';
import { RefusalEvents } from '../sync/refusal-events.ts';
import { agentStatus } from './parts.ts';

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
  /** Hit counters of a policy, by its key. */
  hitsOf: Parameters<typeof describePolicies>[1];
  /** Parts of `/status`, and routes of the admin socket, that only this proxy has. */
  status: () => object;
  routes: AdminRoutes;
  log: Log;
}

/**
 * Starts the control plane. Tables follow once the API server has answered. Throws KubetunError
 * KT_ADMIN_SOCKET.
 */
export async function startControl(
  about: ControlOptions,
  started: AsyncDisposableStack,
): Promise<void> {
  const { options, client, site, sink, around, checks, reconciler, log } = about;
  const { node, lease, admin } = options;
  const clock = MONOTONIC_CLOCK;
  const tables = new Tables(node);
  let syncHealth = () => {};
  started.defer(() => reconciler.stop());
  const events = new RefusalEvents(client, clock, log);
  const publisher = new Publisher({
    nodeName: node,
    ranges: {
      serviceRange: parseRange(site.serviceRange)!,
      podRanges: parseRanges(options.podRanges),
      ...PORT_RANGES,
    },
    ...{ tables, sink, sources: SOURCES, ...(around && { around }) },
    apiAddresses: about.apiAddresses,
    onRefusals: (refusals) => events.take(refusals),
    onRun: () => syncHealth(),
    ...{ clock, log },
  });
  started.defer(() => publisher.stop());
  const monitor = new HealthMonitor({
    checks: {
      ...{ tables: checkTables(publisher), steering: checkSteering(reconciler) },
      ...checks,
    },
    ...{ clock, log },
  });
  started.defer(() => monitor.stop());
  started.defer(() => events.stop());
  // Packets from pods to the node's own addresses are not egress.
  tables.putLocalAddresses(readLocalAddresses());
  if (!tables.clean) publisher.changed();
  const own = new OwnAddress({ client, node, steered: site.address, clock, log });
  started.defer(() => own.stop());
  const status = () => ({
    ...agentStatus(options, sink, publisher, monitor),
    ...{ ...about.status(), addresses: own.report() },
  });
  const server = await serveAdmin(
    admin,
    { ...routesOf(about, tables, publisher), '/status': status },
    log,
  );
  started.defer(() => closeAdmin(server));
  const health = new HealthServers({
    ...{ host: '0.0.0.0', nodePort: NODE_HEALTH_PORT },
    ...{ tables, publisher, monitor, clock, log },
  });
  started.defer(() => health.stop());
  syncHealth = () => health.sync();
  const steered = parseAddress(site.address)!;
  const informers = followCluster(client, tables, publisher, log, steered, (named) =>
    own.take(named.internal, named.steered),
  );
  started.defer(() => {
    for (const informer of informers) informer.stop();
  });
  const isReady = () => publisher.synced && publisher.published && monitor.isHealthy;
  if (lease) started.defer(keepLease({ client, node, isReady, clock, log }));
}

function routesOf(
  { reconciler, hitsOf, routes }: ControlOptions,
  tables: Tables,
  publisher: Publisher,
): AdminRoutes {
  const refused = () => refusedOf(publisher, 'NetworkPolicy');
  return {
    '/services': () => describeServices(publisher),
    '/policies': () => describePolicies(tables.policy, hitsOf, refused()),
    // The missing devices, rules and routes that lead packets here. Empty if all exist.
    '/steering': () => reconciler.status(),
    ...routes,
  };
}
