// The agent of a gateway: a node's datapath, with tables of Nodes and load balancers in place of
// endpoints.
import { gatewayTimeouts } from '../../datapath/flow/timeouts.ts';
import { openNetworkEvents } from '../../datapath/io/netlink.ts';
import { formatAddress, parseAddress } from '../../datapath/wire/address.ts';
import {
  agentStatus,
  attempt,
  engineChecks,
  engineRoutes,
  engineStatus,
  startEngine,
  startParts,
} from '../agent/parts.ts';
import type { Agent, AgentOptions } from '../agent-options.ts';
import { Balancers } from '../balancers/balancers.ts';
import { HealthAsker, HealthChecks } from '../balancers/health.ts';
import { gatewayNode, gatewayRanges, readBackend, readBalancer } from '../balancers/rows.ts';
import { MONOTONIC_CLOCK } from '../clock.ts';
import { startProbe } from '../health/loop-probe.ts';
import { checkSteering, checkTables, HealthMonitor } from '../health/monitor.ts';
import { connectKube, type KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import type { Log } from '../log.ts';
import { objectKey } from '../model/parse.ts';
import { Tables } from '../model/tables.ts';
import { devicesPart, readOutside, readUplink, steeringPart } from '../node/apply.ts';
import { requireFit } from '../node/fit.ts';
import { BalancerRoutes, planGatewaySteering, readBalancerRoutes } from '../node/gateway.ts';
import { ipBatch } from '../node/ip.ts';
import { Reconciler } from '../node/reconcile.ts';
import { closeAdmin, serveAdmin } from '../serve/admin.ts';
import { describeServices } from '../sync/describe.ts';
import { sourceStarter } from '../sync/informers.ts';
import { Publisher } from '../sync/publisher.ts';

export interface GatewayOptions extends AgentOptions {
  /** Public addresses of nodes and load balancers. */
  publicRange: string;
  /** The range of the nodes. */
  fabricRange: string;
}

/** The first publish waits for these, so that a restart takes no node out. */
const SOURCES = ['Service', 'Node', 'health'];

/** Starts the agent of a gateway, as `startAgent` starts that of a node. Throws KubetunError. */
export function startGateway(options: GatewayOptions, log: Log): Promise<Agent> {
  requireFit(options);
  const start = (started: AsyncDisposableStack) => startDatapath(options, started, log);
  return startParts(start, log, 'stopped; connections wait for the next agent');
}

async function startDatapath(
  options: GatewayOptions,
  started: AsyncDisposableStack,
  log: Log,
): Promise<void> {
  const { node, tun, publicRange, fabricRange } = options;
  const client = connectKube(options.kubeconfig, options.access);
  started.defer(() => client.close());
  const uplink = readUplink(options.uplink);
  const address = uplink.addresses[0]!;
  const steering = planGatewaySteering({
    ...{ tun, uplink: uplink.name, mtu: uplink.mtu },
    ...{ address, fabricRange, publicRange },
  });
  const ranges = gatewayRanges(publicRange, [fabricRange], options.podRanges);
  const heldRanges = [...ranges.podRanges, ranges.serviceRange];
  const timeouts = gatewayTimeouts(options.timeouts);
  const engine = await startEngine(options, { timeouts, heldRanges }, started, log);
  const steered = steeringPart(steering, tun, address);
  steered.mend();
  const tables = new Tables(node);
  const outside = readOutside(uplink, tun).map((text) => parseAddress(text)!);
  tables.putNode(gatewayNode(node, parseAddress(address)!, outside));
  const routes = new BalancerRoutes(readBalancerRoutes(publicRange));
  const diffRoutes = () => routes.diff(readBalancerRoutes(publicRange));
  const syncRoutes = () => carryOut(routes.take(followed.balancers.routes()), log);
  const publisher = new Publisher({
    ...{ nodeName: node, ranges, tables, sink: engine.writer, sources: SOURCES },
    around: () => ({ before: syncRoutes, after: () => {} }),
    // Nodes behind a captured address are not part of the image.
    onRun: syncRoutes,
    ...{ clock: MONOTONIC_CLOCK, log },
  });
  started.defer(() => publisher.stop());
  const followed = followBalancers(client, tables, publisher, log);
  started.defer(() => {
    followed.checks.stop();
    followed.asker.stop();
    for (const informer of followed.informers) informer.stop();
  });
  const reconciler = new Reconciler({
    parts: [
      devicesPart(engine),
      steered,
      {
        missing: () => diffRoutes().map((line) => `ip ${line}`),
        mend: () => carryOut(diffRoutes(), log),
      },
    ],
    ...{ events: openNetworkEvents(), clock: MONOTONIC_CLOCK, log },
  });
  started.defer(() => reconciler.stop());
  // The first address of the range belongs to no node and no balancer.
  const probe = startProbe(engine, () => publicRange.split('/')[0]!, started);
  const checks = { steering: checkSteering(reconciler), ...engineChecks(engine), probe };
  const monitor = new HealthMonitor({
    checks: { tables: checkTables(publisher), ...checks },
    ...{ clock: MONOTONIC_CLOCK, log },
  });
  started.defer(() => monitor.stop());
  const routesOf = {
    ...engineRoutes(engine),
    '/status': () => ({
      ...agentStatus(options, engine.writer, publisher, monitor),
      ...engineStatus(engine, options),
    }),
    '/services': () => servicesOf(publisher, followed.balancers),
    '/policies': () => [],
    '/steering': () => reconciler.status(),
  };
  const server = await serveAdmin(options.admin, routesOf, log);
  started.defer(() => closeAdmin(server));
  const { survived } = engine;
  log.info({ address, publicRange, survived, server: client.server }, 'forwarding');
}

function carryOut(lines: string[], log: Log): void {
  // One by one, so that a failure affects only its own address.
  for (const line of lines) {
    attempt(() => ipBatch([line]), {}, 'a load balancer address does not reach the nodes', log);
  }
}

/** Starts informers and health checks, which notify the publisher. */
function followBalancers(client: KubeClient, tables: Tables, publisher: Publisher, log: Log) {
  const asker = new HealthAsker();
  const heard = new Set<string>();
  // Without objects there are no targets. That does not count as a result of every target.
  const settle = () => {
    if (heard.size === informers.length && checks.isSettled) publisher.sourceSynced('health');
  };
  const checks = new HealthChecks({
    ask: (target) => asker.ask(target),
    onChange: ({ address, port }, isHealthy) => {
      log.info({ target: `${formatAddress(address)}:${port}`, isHealthy }, 'health changed');
      balancers.healthChanged();
      publisher.changed();
    },
    onSettled: settle,
    clock: MONOTONIC_CLOCK,
  });
  const balancers = new Balancers({
    tables,
    onTargets: (targets) => checks.follow(targets),
    isHealthy: (target) => checks.isHealthy(target),
  });
  const start = sourceStarter(client, publisher, log, (kind) => {
    heard.add(kind);
    settle();
  });
  const informers: Informer<unknown>[] = [
    start(
      'Service',
      (object) => ({ key: objectKey(object.metadata), row: readBalancer(object) }),
      ({ key, row }) => balancers.putService(key, row),
      ({ key }) => balancers.putService(key, null),
    ),
    start(
      'Node',
      readBackend,
      (row) => balancers.putBackend(row),
      (row) => balancers.deleteBackend(row),
    ),
  ];
  return { asker, checks, balancers, informers };
}

/**
 * The image has Local for all, so that clients keep their addresses. Users see the Service's own
 * policy.
 */
function servicesOf(publisher: Publisher, balancers: Balancers) {
  return describeServices(publisher).map((service) => ({
    ...service,
    externalPolicy: balancers.isLocal(service.service) ? 'Local' : 'Cluster',
  }));
}
