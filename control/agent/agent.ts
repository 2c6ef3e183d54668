// The agent of one node: the datapath in a thread, the cluster's objects in tables, images from one to the other.
import type { Server } from 'node:http';
import { ARENA_SIZES_DEFAULT } from '../../datapath/arena/arena.ts';
import { KubetunError } from '../../datapath/error.ts';
import { nodeTimeouts, type TimeoutSeconds } from '../../datapath/flow/timeouts.ts';
import type { ImageChange } from '../../datapath/nat/image.ts';
import { readCounters } from '../../datapath/observe/counters.ts';
import { readPolicyHits, readPolicyNames } from '../../datapath/policy/policy-reader.ts';
import { parseRange } from '../../datapath/wire/address.ts';
import { Engine } from '../../datapath/worker/engine.ts';
import { type NodeRanges, PORT_RANGES } from '../compile/node-entry.ts';
import { connectKube, type KubeClient } from '../kube/client.ts';
import type { KubeAccess } from '../kube/config.ts';
import type { Informer } from '../kube/informer.ts';
import { Tables } from '../model/tables.ts';
import { isLocalAddress, readCapturedRoutes, readUplink, type Uplink } from '../node/apply.ts';
import { CapturedRoutes } from '../node/captured.ts';
import { ipBatch } from '../node/ip.ts';
import { EPHEMERAL_PORTS } from '../node/preflight.ts';
import { describePolicies } from '../policy/describe.ts';
import { type AdminRoutes, serveAdmin } from './admin.ts';
import { describeServices } from './describe.ts';
import { doubtsAbout, requireFit, siteMemory } from './fit.ts';
import { followCluster, SOURCES } from './follow.ts';
import { HealthServers, NODE_HEALTH_PORT } from './health.ts';
import { keepLease } from './lease.ts';
import { SYSTEM_CLOCK } from './pacer.ts';
import { type Log, Publisher } from './publisher.ts';
import { findSite, podRangesOf, type Site } from './site.ts';
import { Steerer } from './steer.ts';

export interface AgentOptions {
  node: string;
  /** Null: the account of the pod that the agent runs in. */
  kubeconfig: string | null;
  access: KubeAccess;
  tun: string;
  /** A TUN device for packets of pods whose source is not the pod's; null where nothing redirects them. */
  spoofed: string | null;
  /** The device that leads to the other nodes; null for that of the default route. */
  uplink: string | null;
  /** Path of the admin socket. */
  admin: string;
  /** Path of the arena, on tmpfs. */
  arena: string;
  /** Connections that it has room for: a power of two. */
  flows: number;
  /** Timeouts of flows that are not the usual ones. */
  timeouts: TimeoutSeconds;
  /** Null: as the cluster says. */
  serviceRange: string | null;
  /** Beside the Nodes' own ranges. */
  podRanges: string[];
  /** The machine's own network namespace is the node. */
  hostNetwork: boolean;
  /** The node is not the datapath's alone: only Services and pods are steered. */
  narrow: boolean;
  /** Sysctls of the node may be set where they stand in the way. */
  setSysctls: boolean;
  /** Renew the Lease of the node: there is no kubelet that does. */
  lease: boolean;
}

export interface Agent {
  /** Ends everything but what keeps connections alive: the arena, the device and the steering stay. */
  stop(): Promise<void>;
}

/**
 * Starts a node's agent: packets are forwarded when this resolves, tables follow once the API server has
 * answered. Throws KubetunError where the machine, the kubeconfig or a predecessor stands in the way.
 */
export async function startAgent(options: AgentOptions, log: Log): Promise<Agent> {
  const facts = requireFit(options);
  for (const { check, message, next } of doubtsAbout(facts, options)) {
    log.warn({ check, next }, message);
  }
  const client = connectKube(options.kubeconfig, options.access);
  const uplink = readUplink(options.uplink);
  const site = await siteOf(client, options, uplink);
  const engine = await Engine.start({
    arenaPath: options.arena,
    sizes: { ...ARENA_SIZES_DEFAULT, flowsMax: options.flows },
    timeouts: nodeTimeouts(options.timeouts),
    tunName: options.tun,
    spoofedTunName: options.spoofed,
    heldRanges: site.podRanges.map((text) => parseRange(text)!),
    log: (message) => log.warn({}, message),
  });
  try {
    const { tun, narrow } = options;
    const ports = facts.ephemeralPorts ?? EPHEMERAL_PORTS;
    const steerer = new Steerer({ tun, uplink, site, ephemeralPorts: ports, narrow });
    steerer.apply();
    const tables = new Tables(options.node);
    const publisher = new Publisher({
      nodeName: options.node,
      ranges: rangesOf(site, options),
      tables,
      sink: engine.writer,
      sources: SOURCES,
      around: routeAround(tun, site.address, steerer, log),
      onRun: () => health.sync(),
      clock: SYSTEM_CLOCK,
      log,
    });
    const server = await serveAdmin(
      options.admin,
      routesOf(options, steerer, engine, tables, publisher),
    );
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
    const { node, lease } = options;
    const about = { client, node, isReady, clock: SYSTEM_CLOCK, log };
    const stopLease = lease ? keepLease(about) : () => {};
    log.info(
      { ...site, uplink: uplink.name, survived: engine.survived, server: client.server },
      'forwarding',
    );
    return {
      stop() {
        stopLease();
        health.stop();
        return stopAgent(informers, publisher, server, client, engine, log);
      },
    };
  } catch (error) {
    await engine.stop();
    throw error;
  }
}

/** What the command line says whole needs no question; a node of its own cluster must know what it is there. */
async function siteOf(client: KubeClient, options: AgentOptions, uplink: Uplink): Promise<Site> {
  const { serviceRange, podRanges, narrow } = options;
  if (!narrow && serviceRange !== null && podRanges.length > 0) {
    return { address: uplink.addresses[0]!, serviceRange, podRanges };
  }
  const site = await findSite(client, options, siteMemory(options));
  if (isLocalAddress(site.address)) return site;
  throw new KubetunError(
    'KT_NODE_ADDRESS',
    `Node ${options.node} has the address ${site.address}, and no device here does`,
    'run the agent in the network of that node, or correct --node',
  );
}

/** What an agent of any role ends with. */
export async function stopAgent(
  informers: Informer<unknown>[],
  publisher: Publisher,
  server: Server,
  client: KubeClient,
  engine: Engine,
  log: Log,
): Promise<void> {
  for (const informer of informers) informer.stop();
  publisher.stop();
  server.close();
  server.closeAllConnections();
  client.close();
  await engine.stop();
  log.info({}, 'stopped; connections wait for the next agent');
}

/** Keeps rules and the routes to captured addresses in step with the image. What fails costs only those it is for. */
function routeAround(tun: string, address: string, steerer: Steerer, log: Log) {
  const routes = new CapturedRoutes(tun, address, readCapturedRoutes());
  const carryOut = (lines: string[]) => {
    try {
      ipBatch(lines);
    } catch (error) {
      log.error({ why: String(error) }, 'the node itself does not reach a captured address');
    }
  };
  return (change: ImageChange) => {
    const { before, after } = routes.take(change);
    if (change.node) followPods(steerer, podRangesOf(change.node.podRanges, []), log);
    return { before: () => carryOut(before), after: () => carryOut(after) };
  };
}

function followPods(steerer: Steerer, podRanges: string[], log: Log): void {
  try {
    if (steerer.follow(podRanges)) log.info({ podRanges }, 'pod ranges followed');
  } catch (error) {
    log.error({ podRanges, why: String(error) }, 'the new pod ranges are not steered');
  }
}

function rangesOf(site: Site, options: AgentOptions): NodeRanges {
  return {
    serviceRange: parseRange(site.serviceRange)!,
    podRanges: options.podRanges.map((text) => parseRange(text)!),
    ...PORT_RANGES,
  };
}

/** What the datapath has counted of a policy; nothing before it is in force. */
function hitsOf({ arena }: Engine, key: string) {
  const id = [...readPolicyNames(arena)].find(([, name]) => name === key)?.[0] ?? 0;
  return readPolicyHits(arena, id);
}

function routesOf(
  options: AgentOptions,
  steerer: Steerer,
  engine: Engine,
  tables: Tables,
  publisher: Publisher,
): AdminRoutes {
  return {
    ...commonRoutes(options, engine, publisher),
    '/services': () => describeServices(publisher.compiler),
    '/policies': () => describePolicies(tables.policy, (key) => hitsOf(engine, key)),
    // What has gone of the rules and routes that lead packets here; empty if all is well.
    '/steering': () => ({ missing: steerer.check() }),
  };
}

/** What an agent of any role answers. */
export function commonRoutes(
  options: Pick<AgentOptions, 'node' | 'arena'>,
  engine: Engine,
  publisher: Publisher,
): AdminRoutes {
  return {
    '/status': () => ({
      node: options.node,
      generation: engine.writer.generation,
      acknowledged: engine.writer.acknowledged(),
      synced: publisher.synced && publisher.published,
      pid: process.pid,
      survived: engine.survived,
      workerRestarts: engine.restarts,
      arena: options.arena,
    }),
    '/counters': () => readCounters(engine.arena),
  };
}
