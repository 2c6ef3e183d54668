// The agent of one node: the datapath in a thread, the cluster's objects in tables, images from one to the other.
import { ARENA_SIZES_DEFAULT } from '../../datapath/arena/arena.ts';
import { KubetunError } from '../../datapath/error.ts';
import type { ImageChange } from '../../datapath/nat/image.ts';
import { readCounters } from '../../datapath/observe/counters.ts';
import { readPolicyHits, readPolicyNames } from '../../datapath/policy/policy-reader.ts';
import { parseRange } from '../../datapath/wire/address.ts';
import { Engine } from '../../datapath/worker/engine.ts';
import { connectKube, type KubeClient } from '../kube/client.ts';
import type { KubeAccess } from '../kube/config.ts';
import type { Tables } from '../model/tables.ts';
import { isLocalAddress, readCapturedRoutes, readUplink, type Uplink } from '../node/apply.ts';
import { CapturedRoutes } from '../node/captured.ts';
import { ipBatch } from '../node/ip.ts';
import { EPHEMERAL_PORTS } from '../node/preflight.ts';
import { describePolicies } from '../policy/describe.ts';
import type { AdminRoutes } from './admin.ts';
import { startControl } from './control.ts';
import { describeServices } from './describe.ts';
import { doubtsAbout, requireFit, siteMemory } from './fit.ts';
import type { ProxyKind } from './proxy.ts';
import type { Log, Publisher } from './publisher.ts';
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
  /** What translates: the userspace datapath, or the kernel by rules that are compiled from the same tables. */
  proxy: ProxyKind;
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
  if (options.proxy === 'nftables') return (await import('./twin.ts')).startTwin(options, log);
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
    const control = await startControl({
      ...{ options, client, site, log },
      sink: engine.writer,
      around: routeAround(tun, site.address, steerer, log),
      routes: (tables, publisher) => routesOf(options, steerer, engine, tables, publisher),
    });
    log.info(
      { ...site, uplink: uplink.name, survived: engine.survived, server: client.server },
      'forwarding',
    );
    return {
      async stop() {
        control.stop();
        await engine.stop();
        log.info({}, 'stopped; connections wait for the next agent');
      },
    };
  } catch (error) {
    await engine.stop();
    throw error;
  }
}

/** What the command line says whole needs no question; a node of its own cluster must know what it is there. */
export async function siteOf(
  client: KubeClient,
  options: AgentOptions,
  uplink: Uplink,
): Promise<Site> {
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
    '/status': () => ({
      node: options.node,
      proxy: options.proxy,
      generation: engine.writer.generation,
      acknowledged: engine.writer.acknowledged(),
      synced: publisher.synced && publisher.published,
      pid: process.pid,
      survived: engine.survived,
      workerRestarts: engine.restarts,
      arena: options.arena,
    }),
    '/services': () => describeServices(publisher.compiler),
    '/policies': () => describePolicies(tables.policy, (key) => hitsOf(engine, key)),
    // What has gone of the rules and routes that lead packets here; empty if all is well.
    '/steering': () => ({ missing: steerer.check() }),
    '/counters': () => readCounters(engine.arena),
  };
}
