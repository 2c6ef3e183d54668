// Names of the cluster for an explanation: owners of addresses, and their nodes.

import { formatEnd, parseAddress } from '../../datapath/wire/address.ts';
import type { Service } from '../kube/kinds.ts';
import {
  eligibleCluster,
  eligibleLocal,
  endpointsOf,
  type PortEndpoint,
} from '../model/eligible.ts';
import { readNode } from '../model/node.ts';
import { objectKey, portKey, serviceKeyOf } from '../model/parse.ts';
import type { NodeRow, ServiceRow, SliceRow } from '../model/rows.ts';
import { readService } from '../model/service.ts';
import { readSlice } from '../model/slice.ts';
import type { Excluded } from './explanation.ts';
import type { GatewayView } from './gateway.ts';
import type { ClusterObjects } from './objects.ts';

export interface PodPlace {
  /** `NS/NAME`. */
  key: string;
  node: string;
  address: number;
}

export class ClusterView {
  readonly nodes = new Map<string, NodeRow>();
  readonly services = new Map<string, ServiceRow>();
  readonly serviceObjects: ReadonlyMap<string, Service>;
  readonly #pods = new Map<string, PodPlace>();
  readonly #podsByAddress = new Map<number, PodPlace>();
  readonly #slices: Map<string, SliceRow[]>;

  /** The gateway of the cluster; null without one. */
  readonly gateway: GatewayView | null;

  readonly objects: ClusterObjects;

  constructor(objects: ClusterObjects, gateway: GatewayView | null = null) {
    const { nodes, pods, services, slices } = objects;
    this.objects = objects;
    this.gateway = gateway;
    for (const object of nodes) {
      const row = readNode(object);
      this.nodes.set(row.name, row);
    }
    for (const { metadata, spec, status } of pods) {
      const address = parseAddress(status?.podIP ?? '');
      if (address === null || status?.phase === 'Succeeded' || status?.phase === 'Failed') continue;
      const pod = { key: objectKey(metadata), node: spec?.nodeName ?? '', address };
      this.#pods.set(pod.key, pod);
      // A pod in its node's network has the node's address.
      if (!spec?.hostNetwork) this.#podsByAddress.set(address, pod);
    }
    this.serviceObjects = new Map(services.map((object) => [objectKey(object.metadata), object]));
    for (const object of services) {
      const row = readService(object);
      this.services.set(row.key, row);
    }
    this.#slices = Map.groupBy(slices.map(readSlice), ({ serviceKey }) => serviceKey);
  }

  pod(key: string): PodPlace | undefined {
    return this.#pods.get(key);
  }

  /** `NS/NAME` of each. */
  get podKeys(): string[] {
    return [...this.#pods.keys()];
  }

  podAt(address: number): PodPlace | undefined {
    return this.#podsByAddress.get(address);
  }

  /** Owner of an address: `pod NS/NAME`, `node NAME`, or `NAME outside`; null if unknown. */
  nameOf(address: number): string | null {
    const pod = this.podAt(address);
    if (pod) return `pod ${pod.key}`;
    const node = this.nodeWith(address);
    if (node) return `node ${node.name}`;
    const owner = this.gateway?.ownerOf(address) ?? null;
    return owner && `${owner} outside`;
  }

  /** Keys of the Services that capture an address, with their ports: `NS/NAME (http 80, 443)`. */
  servicesAt(address: number): string[] {
    const has = (row: ServiceRow) =>
      row.clusterAddresses.includes(address) ||
      row.externalAddresses.includes(address) ||
      row.loadBalancerAddresses.includes(address);
    const texts = (row: ServiceRow) => row.ports.map((p) => `${p.name} ${p.number}`.trim());
    return [...this.services.values()]
      .filter((row) => row.ports.length > 0 && has(row))
      .map((row) => `${row.key} (${texts(row).join(', ')})`);
  }

  /** The node that has the address, or has a pod with it. */
  nodeOf(address: number): string | null {
    const pod = this.podAt(address);
    if (pod?.node) return pod.node;
    const own = this.nodeWith(address);
    if (own) return own.name;
    for (const { name, podRanges } of this.nodes.values()) {
      if (podRanges.some((range) => (address & range.mask) === range.address)) return name;
    }
    return null;
  }

  /** The node whose own address this is, where a packet from outside arrives. */
  nodeWith(address: number): NodeRow | undefined {
    for (const node of this.nodes.values()) if (node.addresses.includes(address)) return node;
    return undefined;
  }

  /**
   * Endpoints of a Service port that are not eligible on a node.
   *
   * @param name `NS/NAME:PORT`.
   * @param eligible `ADDRESS:PORT` of the eligible ones.
   * @param local the policy is Local.
   */
  excluded(name: string, node: string, eligible: ReadonlySet<string>, local: boolean): Excluded[] {
    const key = serviceKeyOf(name);
    const port = this.services.get(key)?.ports.find((p) => portKey(key, p) === name);
    if (!port) return [];
    const all = endpointsOf(port, this.#slices.get(key) ?? []);
    const place = { nodeName: node, zone: this.nodes.get(node)?.zone ?? '' };
    const chosen = new Set(local ? eligibleLocal(all, place) : eligibleCluster(all, place));
    return all
      .map((endpoint) => ({ endpoint, text: formatEnd(endpoint.row.address, endpoint.port) }))
      .filter(({ text }) => !eligible.has(text))
      .map(({ endpoint, text }) => ({
        endpoint: text,
        // The node's table may be older or newer than the objects.
        why: chosen.has(endpoint)
          ? "not in the node's table yet"
          : whyExcluded(endpoint, all, place.nodeName, local),
      }));
  }
}

function whyExcluded(
  { row }: PortEndpoint,
  all: PortEndpoint[],
  node: string,
  local: boolean,
): string {
  if (local && row.nodeName !== node) return `on ${row.nodeName || 'another node'}, policy Local`;
  if (!row.ready && row.terminating && row.serving) return 'terminating, and others are ready';
  if (row.terminating) return 'terminating';
  if (!row.ready) return 'not ready';
  const hints = all.some((other) => other.row.hintNodes.includes(node))
    ? row.hintNodes
    : row.hintZones;
  return `hints are for ${hints.join(', ')}`;
}
