// The agent of one node: a datapath in a thread, the cluster's objects in tables, and images that
// are compiled from the tables for the datapath.
import { nodeTimeouts } from '../../datapath/flow/timeouts.ts';
import { readPolicyHits, readPolicyNames } from '../../datapath/image/policy-reader.ts';
import { openNetworkEvents } from '../../datapath/io/netlink.ts';
import { formatAddress, parseAddress } from '../../datapath/wire/address.ts';
import type { Engine } from '../../datapath/worker/engine.ts';
import type { Agent, AgentOptions } from '../agent-options.ts';
import { MONOTONIC_CLOCK } from '../clock.ts';
import { startProbe } from '../health/loop-probe.ts';
import { connectKube } from '../kube/client.ts';
import type { Log } from '../log.ts';
import { parseRanges } from '../model/parse.ts';
import { devicesPart, readCapturedRoutes, readUplink } from '../node/apply.ts';
import { cablesPart } from '../node/cables.ts';
import { CapturedRoutes, OwnPorts } from '../node/captured.ts';
import { requireFit } from '../node/fit.ts';
import { ipBatch } from '../node/ip.ts';
import { PodPorts, portMemory, recallPorts } from '../node/pod-ports.ts';
import { EPHEMERAL_PORTS, runChecks } from '../node/preflight.ts';
import { type Part, Reconciler } from '../node/reconcile.ts';
import { TABLE_CAPTURED } from '../node/rule.ts';
import { apiAddressesOf, podRangesOf, siteOf } from '../node/site.ts';
import { type PodRanges, Steerer } from '../node/steerer.ts';
import type { AdminRoutes } from '../serve/admin.ts';
import type { PublisherOptions } from '../sync/publisher.ts';
import { type ControlOptions, startControl } from './control.ts';
import {
  attempt,
  engineChecks,
  engineRoutes,
  engineStatus,
  startEngine,
  startParts,
} from './parts.ts';

/**
 * Starts a node's agent. The datapath forwards when this resolves. Tables follow once the API
 * server has answered. Throws KubetunError if the machine, the kubeconfig or another agent prevents
 * it.
 */
export function startAgent(options: AgentOptions, log: Log): Promise<Agent> {
  const facts = requireFit(options);
  for (const { check, verdict, message, next } of runChecks(facts, options)) {
    if (verdict === 'unknown') log.warn({ check, next }, message);
  }
  const ephemeralPorts = facts.ephemeralPorts ?? EPHEMERAL_PORTS;
  const start = (started: AsyncDisposableStack) => startNode(options, ephemeralPorts, started, log);
  return startParts(start, log, 'stopped; connections wait for the next agent');
}

async function startNode(
  options: AgentOptions,
  ephemeralPorts: [number, number],
  started: AsyncDisposableStack,
  log: Log,
): Promise<void> {
  const { tun, spoofed, narrow } = options;
  const client = connectKube(options.kubeconfig, options.access);
  started.defer(() => client.close());
  const { server } = client;
  const uplink = readUplink(options.uplink);
  const site = await siteOf(client, options, uplink);
  const timeouts = nodeTimeouts(options.timeouts);
  const attached = recallPorts(portMemory(options), log);
  const pods = attached.map(({ port }) => port);
  const heldRanges = parseRanges(site.podRanges);
  const engine = await startEngine(options, { timeouts, heldRanges, pods }, started, log);
  const ports = new PodPorts({
    ...{ engine, memory: portMemory(options), attached, clock: MONOTONIC_CLOCK, log },
  });
  started.defer(() => ports.stop());
  const apiAddresses = await apiAddressesOf(server);
  freeRoutes(apiAddresses, tun, log);
  const steerer = new Steerer({ tun, spoofed, uplink, site, narrow, server, ephemeralPorts });
  steerer.mend();
  const captured = new CapturedRoutes(tun, site.address, readCapturedRoutes());
  const reconciler = new Reconciler({
    parts: [
      ...[devicesPart(engine), steerer, capturedPart(captured)],
      ...(spoofed ? [cablesPart(spoofed)] : []),
    ],
    ...{ events: openNetworkEvents(), clock: MONOTONIC_CLOCK, log },
  });
  // Narrow steering leads the node's own packets past the datapath, so a probe cannot test it.
  const probe = narrow ? null : startProbe(engine, () => steerer.probeAddress(), started);
  const control: ControlOptions = {
    ...{ options, client, site, apiAddresses, reconciler, log },
    sink: engine.writer,
    around: routeAround(captured, site.address, steerer, options.podRanges, log),
    checks: { ...engineChecks(engine), ...(probe && { probe }) },
    hitsOf: (key) => hitsOf(engine, key),
    status: () => engineStatus(engine, options),
    routes: { ...engineRoutes(engine), ...portRoutes(ports) },
  };
  await startControl(control, started);
  log.info({ ...site, uplink: uplink.name, survived: engine.survived, server }, 'forwarding');
}

/**
 * Updates rules and the routes to captured addresses with each image. A failure is logged and does
 * not stop the publish.
 */
function routeAround(
  routes: CapturedRoutes,
  address: string,
  steerer: Steerer,
  given: string[],
  log: Log,
): PublisherOptions['around'] {
  const ownPorts = new OwnPorts(parseAddress(address)!);
  const carryOut = (lines: string[]) =>
    attempt(() => ipBatch(lines), {}, 'the node itself does not reach a captured address', log);
  return (change, { nodes, nodeName }) => {
    const { before, after } = routes.take(change);
    if (change.node) {
      const podRanges = podRangesOf(change.node.podRanges, []);
      const ownPodRanges = podRangesOf(nodes.get(nodeName)?.podRanges ?? [], given);
      followPods(steerer, { podRanges, ownPodRanges }, log);
    }
    const hasMoved = ownPorts.take(change);
    return {
      before: () => carryOut(before),
      after() {
        carryOut(after);
        if (hasMoved) followOwnPorts(steerer, ownPorts, log);
      },
    };
  };
}

function capturedPart(captured: CapturedRoutes): Part {
  const diff = () => captured.diff(readCapturedRoutes());
  return { missing: () => diff().map((line) => `ip ${line}`), mend: () => ipBatch(diff()) };
}

/**
 * Removes captured routes to the API server's addresses, if a Service claimed one. Otherwise the
 * agent could not reach the API server to learn that the Service is gone.
 */
function freeRoutes(addresses: number[], tun: string, log: Log): void {
  const reserved = new Set(addresses.map(formatAddress));
  const taken = readCapturedRoutes().filter((address) => reserved.has(address));
  if (taken.length === 0) return;
  log.warn({ routes: taken }, 'removed routes that led packets for the API server to the datapath');
  ipBatch(taken.map((address) => `route del ${address} dev ${tun} table ${TABLE_CAPTURED}`));
}

function followPods(steerer: Steerer, ranges: PodRanges, log: Log): void {
  const follow = () => steerer.follow(ranges) && log.info(ranges, 'pod ranges followed');
  attempt(follow, ranges, 'the new pod ranges are not steered', log);
}

function followOwnPorts(steerer: Steerer, { ranges, left }: OwnPorts, log: Log): void {
  const message = 'the node itself does not reach Services on ports of its own address';
  if (left > 0) log.warn({ rules: ranges.length, left }, message);
  attempt(() => steerer.followOwnPorts(ranges), { ranges }, message, log);
}

/** Routes of the admin socket by which pods' devices come and go. */
function portRoutes(ports: PodPorts): AdminRoutes {
  return {
    '/ports': () => ports.list(),
    'POST /ports': (body) => ports.add(body),
    'DELETE /ports': (body) => ports.remove(body),
  };
}

/** Hit counters of a policy. Zero before the datapath has the policy. */
function hitsOf({ arena }: Engine, key: string) {
  const id = [...readPolicyNames(arena)].find(([, name]) => name === key)?.[0] ?? 0;
  return readPolicyHits(arena, id);
}
