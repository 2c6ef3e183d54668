// The agent of one node: the datapath in a thread, the cluster's objects in tables, images from one to the other.
import { rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { ARENA_SIZES_DEFAULT } from '../../datapath/arena/arena.ts';
import type { ImageChange } from '../../datapath/nat/image.ts';
import { readCounters } from '../../datapath/observe/counters.ts';
import { parseRange } from '../../datapath/wire/address.ts';
import { Engine } from '../../datapath/worker/engine.ts';
import {
  NODE_PORT_MAX,
  NODE_PORT_MIN,
  type NodeRanges,
  SNAT_PORT_MAX,
  SNAT_PORT_MIN,
} from '../compile/node-entry.ts';
import { connectKube, type KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { Tables } from '../model/tables.ts';
import {
  applySteering,
  checkSteering,
  readCapturedRoutes,
  readUplink,
  removeSteering,
} from '../node/apply.ts';
import { CapturedRoutes } from '../node/captured.ts';
import { ipBatch } from '../node/ip.ts';
import { preflight } from '../node/preflight.ts';
import { planSteering, type SteeringPlan } from '../node/steering.ts';
import { type AdminRoutes, serveAdmin } from './admin.ts';
import { describeServices } from './describe.ts';
import { followCluster, SOURCES } from './follow.ts';
import { HealthServers, NODE_HEALTH_PORT } from './health.ts';
import { keepLease } from './lease.ts';
import { SYSTEM_CLOCK } from './pacer.ts';
import { type Log, Publisher } from './publisher.ts';

export interface AgentOptions {
  node: string;
  /** Null: the account of the pod that the agent runs in. */
  kubeconfig: string | null;
  tun: string;
  /** The device that leads to the other nodes. */
  uplink: string;
  /** Path of the admin socket. */
  admin: string;
  /** Path of the arena, on tmpfs. */
  arena: string;
  /** Connections that it has room for: a power of two. */
  flows: number;
  serviceRange: string;
  podRanges: string[];
  /** The node's own sockets use these ports, inclusive. */
  ephemeralPorts: [number, number];
  /** The machine's own network namespace is the node. */
  hostNetwork: boolean;
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
  preflight(options.node, options.hostNetwork);
  const client = connectKube(options.kubeconfig);
  const uplink = readUplink(options.uplink);
  const engine = await Engine.start({
    arenaPath: options.arena,
    sizes: { ...ARENA_SIZES_DEFAULT, flowsMax: options.flows },
    tunName: options.tun,
    log: (message) => log.warn({}, message),
  });
  try {
    const plan = planOf(options, uplink);
    applySteering(plan);
    const tables = new Tables(options.node);
    const publisher = new Publisher({
      nodeName: options.node,
      ranges: rangesOf(options),
      tables,
      sink: engine.writer,
      sources: SOURCES,
      around: routeAround(options.tun, uplink.address, log),
      onRun: () => health.sync(),
      clock: SYSTEM_CLOCK,
      log,
    });
    const server = await serveAdmin(options.admin, routesOf(options, plan, engine, publisher));
    const health = new HealthServers({
      ...{ host: '0.0.0.0', nodePort: NODE_HEALTH_PORT },
      ...{ tables, publisher, clock: SYSTEM_CLOCK, log },
    });
    const informers = followCluster(client, tables, publisher, log, (address) => {
      if (address !== uplink.address) {
        log.warn({ node: address, uplink: uplink.address }, 'Node address and uplink differ');
      }
    });
    const isReady = () => publisher.synced && publisher.published;
    const { node, lease } = options;
    const about = { client, node, isReady, clock: SYSTEM_CLOCK, log };
    const stopLease = lease ? keepLease(about) : () => {};
    log.info(
      { address: uplink.address, survived: engine.survived, server: client.server },
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

/** Takes off the node what an agent put there: rules, routes, the device, the arena, the socket. */
export function cleanUpNode(options: AgentOptions): void {
  preflight(options.node, options.hostNetwork);
  removeSteering(options.tun);
  rmSync(options.arena, { force: true });
  rmSync(options.admin, { force: true });
}

async function stopAgent(
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

/** Keeps the routes to captured addresses in step with the image. A route that fails costs the node alone. */
function routeAround(tun: string, address: string, log: Log) {
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
    return { before: () => carryOut(before), after: () => carryOut(after) };
  };
}

function planOf(options: AgentOptions, uplink: { address: string; mtu: number }): SteeringPlan {
  return planSteering({
    tun: options.tun,
    uplink: options.uplink,
    mtu: uplink.mtu,
    nodeAddress: uplink.address,
    serviceRange: options.serviceRange,
    podRanges: options.podRanges,
    nodePorts: [NODE_PORT_MIN, NODE_PORT_MAX],
    snatPorts: [SNAT_PORT_MIN, SNAT_PORT_MAX],
    ephemeralPorts: options.ephemeralPorts,
  });
}

function rangesOf(options: AgentOptions): NodeRanges {
  return {
    serviceRange: parseRange(options.serviceRange)!,
    podRanges: options.podRanges.map((text) => parseRange(text)!),
    snatPortMin: SNAT_PORT_MIN,
    snatPortMax: SNAT_PORT_MAX,
    nodePortMin: NODE_PORT_MIN,
    nodePortMax: NODE_PORT_MAX,
  };
}

function routesOf(
  options: AgentOptions,
  plan: SteeringPlan,
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
    '/services': () => describeServices(publisher.compiler),
    // What has gone of the rules and routes that lead packets here; empty if all is well.
    '/steering': () => ({ missing: checkSteering(plan, options.tun) }),
    '/counters': () => readCounters(engine.arena),
  };
}
