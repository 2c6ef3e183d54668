// What every agent does, whatever translates: the cluster's objects in tables, changes of them to a sink, and whoever
// asks is told.
import { parseRange } from '../../datapath/wire/address.ts';
import { type NodeRanges, PORT_RANGES } from '../compile/node-entry.ts';
import type { KubeClient } from '../kube/client.ts';
import { Tables } from '../model/tables.ts';
import { type AdminRoutes, serveAdmin } from './admin.ts';
import { followCluster, SOURCES } from './follow.ts';
import { HealthServers, NODE_HEALTH_PORT } from './health.ts';
import { keepLease } from './lease.ts';
import type { AgentOptions } from './options.ts';
import { SYSTEM_CLOCK } from './pacer.ts';
import { type ImageSink, type Log, Publisher, type PublisherOptions } from './publisher.ts';
import type { Site } from './site.ts';

export interface ControlOptions {
  options: AgentOptions;
  client: KubeClient;
  site: Site;
  sink: ImageSink;
  around?: PublisherOptions['around'];
  /** What the admin socket answers. */
  routes: (tables: Tables, publisher: Publisher) => AdminRoutes;
  log: Log;
}

/** Starts it; tables follow once the API server has answered. Throws KubetunError KT_ADMIN_SOCKET. */
export async function startControl(about: ControlOptions): Promise<{ stop(): void }> {
  const { options, client, site, sink, around, log } = about;
  const { node, lease, admin } = options;
  const tables = new Tables(node);
  const publisher = new Publisher({
    nodeName: node,
    ranges: rangesOf(site, options),
    tables,
    sink,
    sources: SOURCES,
    ...(around && { around }),
    onRun: () => health.sync(),
    clock: SYSTEM_CLOCK,
    log,
  });
  const server = await serveAdmin(admin, about.routes(tables, publisher));
  const health = new HealthServers({
    ...{ host: '0.0.0.0', nodePort: NODE_HEALTH_PORT },
    ...{ tables, publisher, clock: SYSTEM_CLOCK, log },
  });
  const informers = followCluster(client, tables, publisher, log, (address) => {
    if (address !== site.address) {
      log.warn({ node: address, steered: site.address }, 'Node address and steered one differ');
    }
  });
  const isReady = () => publisher.synced && publisher.published;
  const stopLease = lease
    ? keepLease({ client, node, isReady, clock: SYSTEM_CLOCK, log })
    : () => {};
  return {
    stop() {
      stopLease();
      health.stop();
      for (const informer of informers) informer.stop();
      publisher.stop();
      server.close();
      server.closeAllConnections();
      client.close();
    },
  };
}

function rangesOf(site: Site, options: AgentOptions): NodeRanges {
  return {
    serviceRange: parseRange(site.serviceRange)!,
    podRanges: options.podRanges.map((text) => parseRange(text)!),
    ...PORT_RANGES,
  };
}
