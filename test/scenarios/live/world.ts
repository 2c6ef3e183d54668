// Rows as real packets: a lab with a scenario's nodes, pods at every address of a row, and hosts
// around it.

import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { ProxyKind } from '../../../control/agent-options.ts';
import type { Node } from '../../../control/kube/kinds.ts';
import { readNode } from '../../../control/model/node.ts';
import { KubetunError } from '../../../datapath/error.ts';
import { REFUSALS_PER_S } from '../../../datapath/limit.ts';
import type { Tuple } from '../../../datapath/observe/packet.ts';
import { DROP_REASONS } from '../../../datapath/pipeline/verdict.ts';
import {
  formatAddress,
  formatRange,
  parseAddress,
  parseRange,
} from '../../../datapath/wire/address.ts';
import { PROTO_UDP } from '../../../datapath/wire/ipv4.ts';
import { ipBatch } from '../../../lab/host/ip.ts';
import { namespaceOf, namespacePath, podNamespace } from '../../../lab/places/names.ts';
import { agentLogPath } from '../../../lab/places/paths.ts';
import { defaultTopology, nodeDefaults, type Topology } from '../../../lab/topology/topology.ts';
import { clientPod, startLab, type TestLab, until } from '../../support/lab.ts';
import { addressesOf, type Row, reasonOf, type Scenario, WALKS } from '../row.ts';
import { describePlace } from '../walk.ts';
import { LiveObjects, objectsOf } from './objects.ts';
import { makeOutside, OUTSIDE, STRANGERS, sendBy } from './outside.ts';
import { type Delivery, Places, type Sending } from './places.ts';
import { makeProbe, nameOf, readArrival } from './probe.ts';

/**
 * The sorted results of all tries of each row, and differences of the drop counters from the rows.
 */
export interface LiveAnswer {
  seen: string[][];
  counters: string[];
}

/** Source ports: below those of a node's own sockets, of NodePorts and of masquerade. */
const PORT_MIN = 1024;
const PORT_MAX = 29_999;
const PODS_MAX = 60;
/** Silence after which no more packets are expected. */
const SILENCE_MS = 1000;
const MARK_SILENCE_MS = 100;
/** A level of pino. */
const LEVEL_ERROR = 50;
/** Limit of probes in flight, with their answers. All of them may be refused. */
const BURST = 40;
const PAUSE_MS = (BURST * 1000) / REFUSALS_PER_S;

interface Probe {
  row: number;
  sent: Tuple;
  own: boolean;
  /** Expects no delivery. */
  dropped: boolean;
}

export class LiveWorld {
  readonly lab: TestLab;
  readonly #proxy: ProxyKind;
  readonly #nodes: Node[];
  readonly #objects: LiveObjects;
  /** Pods and nodes by address. */
  readonly #places: Map<string, string>;
  readonly #sockets: Places;
  /** The last used source port, by source address. */
  readonly #ports = new Map<string, number>();
  #id = 1;

  private constructor(lab: TestLab, proxy: ProxyKind, nodes: Node[], pods: Map<string, string>) {
    this.lab = lab;
    this.#proxy = proxy;
    this.#nodes = nodes;
    this.#objects = new LiveObjects(lab.kube);
    this.#places = new Map(pods);
    const places = [OUTSIDE, STRANGERS, ...nodes.map((node) => node.metadata!.name!)];
    const paths = new Map(places.map((place) => [place, namespaceOf(lab.name, place)]));
    for (const pod of pods.values()) paths.set(pod, podNamespace(lab.name, 'default', pod));
    const entries = [...paths].map(([place, namespace]) => [place, namespacePath(namespace)]);
    this.#sockets = new Places(Object.fromEntries(entries));
  }

  /**
   * A lab for scenarios with the same nodes, except for zones and further addresses. Throws
   * KubetunError KT_LIVE.
   */
  static async start(name: string, proxy: ProxyKind, scenarios: Scenario[]): Promise<LiveWorld> {
    const nodes = objectsOf<Node>(scenarios[0]!, 'Node');
    const topology = topologyOf(nodes, proxy);
    const objects = topology.nodes.flatMap((node) =>
      podNames(node.podCIDR, scenarios, node.name).map((pod) => clientPod(pod, node.name)),
    );
    const lab = makeLab(name, objects, topology);
    try {
      await makeOutside(name, topology);
      const { items } = await lab.kube.list('Pod', { namespace: 'default' });
      const pods = items.map((pod) => [pod.status!.podIP!, pod.metadata!.name!] as const);
      return new LiveWorld(lab, proxy, nodes, new Map(pods));
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  async down(): Promise<void> {
    await this.#sockets.close();
    await this.lab.down();
  }

  /** Every row of a scenario, all at once. */
  async run(scenario: Scenario): Promise<LiveAnswer> {
    await this.#prepare(scenario);
    const before = await this.#drops();
    const first = this.#id;
    const probes: Probe[] = [];
    // Interleaves the rows, so that a loss does not hit all probes of one row.
    for (let i = 0; i < WALKS; i++) {
      for (const [number, row] of scenario.rows.entries()) {
        const probe = this.#probe(row.from, row.to, row.port, row.proto);
        probes.push({ ...probe, row: number, dropped: reasonOf(row) !== null });
      }
    }
    const outcomes = await this.#send(probes, first, SILENCE_MS);
    const seen = scenario.rows.map(() => new Set<string>());
    for (const [i, words] of outcomes.entries()) {
      for (const word of words) seen[probes[i]!.row]!.add(word);
    }
    const counters = before ? compareDrops(scenario.rows, before, (await this.#drops())!) : [];
    return { seen: seen.map((words) => [...words].sort()), counters };
  }

  /** Writes the scenario's cluster and waits until every node knows it. */
  async #prepare(scenario: Scenario): Promise<void> {
    const nodes = objectsOf<Node>(scenario, 'Node');
    for (const node of nodes) {
      const name = node.metadata!.name!;
      const [primary, ...more] = addressesOfNode(node);
      this.#places.set(primary!, name);
      const missing = more.filter((address) => !this.#places.has(address));
      const lines = missing.map((address) => `addr add ${address}/32 dev lo`);
      await ipBatch(namespaceOf(this.lab.name, name), lines);
      for (const address of missing) this.#places.set(address, name);
      if (name === scenario.node) await sendBy(this.lab.name, primary!);
    }
    const pod = [...this.#places].find(([, place]) => place.startsWith('pod-'));
    const mark = await this.#objects.apply(scenario, pod![0]);
    const senders = nodes.map((node) => addressesOfNode(node)[0]!);
    await this.#until(`${scenario.file} is in force on every node`, async () => {
      const first = this.#id;
      const probes = senders.map((from) => this.#probe(from, mark, 9, PROTO_UDP));
      const outcomes = await this.#send(probes, first, MARK_SILENCE_MS);
      return outcomes.every(([word]) => word === `${pod![0]}:9*`);
    });
  }

  /** Throws KubetunError KT_LIVE with the agents' errors. */
  async #until(what: string, holds: () => Promise<boolean>): Promise<void> {
    try {
      await until(what, holds);
    } catch (error) {
      if (error instanceof KubetunError) throw error;
      const complaints = this.#nodes.flatMap(({ metadata }) =>
        complaintsOf(agentLogPath(this.lab.name, metadata!.name!)),
      );
      throw problem((error as Error).message, complaints[0] ?? 'no agent has logged an error');
    }
  }

  #probe(from: string, to: string, dport: number, proto: number): Probe {
    const sport = (this.#ports.get(from) ?? PORT_MIN - 1) + 1;
    if (sport > PORT_MAX) {
      throw problem(`${from} has no source port left`, 'give some rows another source or file');
    }
    this.#ports.set(from, sport);
    this.#id++;
    const sent = { proto, src: parseAddress(from)!, sport, dst: parseAddress(to)!, dport };
    const own = this.#nodes.some((node) => node.metadata!.name === this.#places.get(from));
    return { row: 0, sent, own, dropped: false };
  }

  /** The result of each probe. Their numbers start at `first`. */
  async #send(probes: Probe[], first: number, silenceMs: number): Promise<string[][]> {
    const sendings = probes.map(({ sent, own }, i): Sending => {
      const place = this.#places.get(formatAddress(sent.src)) ?? OUTSIDE;
      return { place, own, packet: makeProbe(sent, first + i) };
    });
    this.#sockets.clear();
    let outcomes: string[][] = [];
    for (let at = 0; at < probes.length; at += BURST) {
      const upTo = at + BURST;
      const last = upTo >= probes.length;
      const answered = (deliveries: readonly Delivery[]) => {
        outcomes = this.#outcomesOf(probes.slice(0, upTo), first, deliveries);
        return outcomes.every(([word], i) => word !== 'drop' || (probes[i]!.dropped && !last));
      };
      const deliveries = await this.#sockets.send(sendings.slice(at, upTo), silenceMs, answered);
      if (last) outcomes = this.#outcomesOf(probes, first, deliveries);
      else await setTimeout(PAUSE_MS);
    }
    return outcomes;
  }

  #outcomesOf(probes: Probe[], first: number, deliveries: readonly Delivery[]): string[][] {
    const arrived = probes.map((): string[] => []);
    const refused = new Set<string>();
    const nodes = this.#nodes.map((node) => addressesOfNode(node)[0]!);
    for (const { packet } of deliveries) {
      const arrival = readArrival(packet);
      if (arrival?.kind === 'refusal') refused.add(arrival.of);
      if (arrival?.kind !== 'probe') continue;
      const probe = probes[arrival.id - first];
      if (!probe) continue;
      const place = describePlace(probe.sent, arrival.left, nodes);
      // A packet from a node's socket has a partial checksum, because a cable needs none.
      const damaged = arrival.damaged && !probe.own;
      arrived[arrival.id - first]!.push(damaged ? `${place} damaged` : place);
    }
    return arrived.map((places, i) => {
      if (places.length > 0) return places;
      return [refused.has(nameOf(probes[i]!.sent)) ? 'reject' : 'drop'];
    });
  }

  /** Drops of all nodes by reason. Null if the proxy has no counters. */
  async #drops(): Promise<Map<string, number> | null> {
    if (this.#proxy !== 'kubetun') return null;
    const sums = new Map(DROP_REASONS.slice(1).map(([reason]) => [reason, 0]));
    for (const node of this.#nodes) {
      const counters = await this.lab.counters(node.metadata!.name!);
      for (const [reason, sum] of sums) sums.set(reason, sum + (counters[reason] ?? 0));
    }
    return sums;
  }
}

/** One line for each reason whose count differs from the number of probes in its rows. */
function compareDrops(
  rows: Row[],
  before: Map<string, number>,
  after: Map<string, number>,
): string[] {
  return [...before].flatMap(([reason, was]) => {
    const rose = after.get(reason)! - was;
    const expected = WALKS * rows.filter((row) => reasonOf(row) === reason).length;
    return rose === expected ? [] : [`drops ${reason}: ${rose}, by the rows ${expected}`];
  });
}

function makeLab(name: string, objects: object[], { nodes }: Topology): TestLab {
  try {
    return startLab(name, objects, { nodes });
  } catch (error) {
    throw problem((error as Error).message.trim(), 'rows with real packets need root and a lab');
  }
}

/** Errors in an agent's log, the latest first. */
function complaintsOf(log: string): string[] {
  const lines = readFileSync(log, 'utf8').split('\n').filter(Boolean).reverse();
  return lines
    .map((line) => JSON.parse(line) as { level: number; msg: string })
    .filter(({ level }) => level >= LEVEL_ERROR)
    .map(({ msg }) => msg);
}

function addressesOfNode({ status }: Node): string[] {
  const own = status?.addresses?.filter(({ type }) => type === 'InternalIP') ?? [];
  return own.map(({ address }) => address);
}

/** Scenarios of the same key may share a lab. */
export function topologyKey(scenario: Scenario): string {
  return JSON.stringify(topologyOf(objectsOf<Node>(scenario, 'Node'), 'kubetun').nodes);
}

/** Throws KubetunError KT_LIVE if a Node lacks what a lab needs. */
function topologyOf(nodes: Node[], proxy: ProxyKind): Topology {
  const plain = defaultTopology(nodes.length, { ...nodeDefaults(), proxy });
  const made = nodes.map((node, i) => {
    const name = node.metadata?.name;
    const [address] = addressesOfNode(node);
    const [range] = readNode(node).podRanges;
    if (name && address && range) {
      return { ...plain.nodes[i]!, name, address, podCIDR: formatRange(range) };
    }
    const lacks = address ? 'IPv4 range in spec.podCIDR or spec.podCIDRs' : 'InternalIP';
    throw problem(`Node ${name} has no ${lacks}`, 'a lab needs both');
  });
  return { ...plain, nodes: made };
}

/** Enough pods on a node: addresses are assigned from the third of a range on. */
function podNames(podCIDR: string, scenarios: Scenario[], node: string): string[] {
  const { address: base, mask } = parseRange(podCIDR)!;
  const addresses = scenarios.flatMap(({ rows }) =>
    rows.flatMap((row) => [row.from, row.to, ...addressesOf(row)]),
  );
  const numbers = addresses
    .map((text) => parseAddress(text)!)
    .filter((address) => ((address ^ base) & mask) === 0)
    .map((address) => address - base);
  const count = Math.max(1, ...numbers.map((number) => number - 1));
  if (count > PODS_MAX) {
    throw problem(`the rows name pod ${count + 1} of ${podCIDR}`, `use its first ${PODS_MAX}`);
  }
  return Array.from({ length: count }, (_, i) => `pod-${node}-${i}`);
}

function problem(message: string, next: string): KubetunError {
  return new KubetunError('KT_LIVE', message, next, { usage: true });
}
