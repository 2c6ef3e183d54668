// A whole cluster in a node's control plane: Nodes, Services, endpoints and NetworkPolicies pass an
// agent's tables and publisher to an image, and a world of the pipeline sends its packets.

import { PORT_RANGES } from '../../../control/compile/node-entry.ts';
import type { EndpointSlice, Service } from '../../../control/kube/kinds.ts';
import { readService } from '../../../control/model/service.ts';
import { readSlice } from '../../../control/model/slice.ts';
import { Tables } from '../../../control/model/tables.ts';
import { Publisher } from '../../../control/sync/publisher.ts';
import type { ImageWriter } from '../../../datapath/image/writer.ts';
import { formatAddress, parseAddress } from '../../../datapath/wire/address.ts';
import { WORLD } from '../core/world.ts';
import { benchPod, policyTables } from '../policies.ts';

export const NODE = 'node1';
/** Every second /24, so that ranges of neighbouring nodes do not join. */
const RANGE_STEP = 512;
const RANGES_FIRST = parseAddress('10.128.0.0')!;
const NODES_FIRST = parseAddress('172.16.0.1')!;
const SERVICES_FIRST = parseAddress('10.96.1.0')!;
const SOURCES = ['Node', 'Service', 'EndpointSlice', 'NetworkPolicy'];
const SILENT = { info() {}, warn() {}, error() {} };

export interface ClusterSize {
  nodes: number;
  services: number;
  /** Of each Service. */
  endpoints: number;
  policies: number;
}

/** An agent's tables and publisher, filled with a cluster. `publish` publishes first. */
export class Cluster {
  readonly tables = new Tables(NODE);
  readonly publisher: Publisher;
  readonly #size: ClusterSize;
  readonly #calls: (() => void)[] = [];

  constructor(size: ClusterSize, sink: ImageWriter) {
    this.#size = size;
    this.publisher = new Publisher({
      ...{ nodeName: NODE, tables: this.tables, sink, sources: SOURCES, log: SILENT },
      ranges: { serviceRange: WORLD.serviceRange, podRanges: [], ...PORT_RANGES },
      clock: {
        monotonicMs: () => performance.now(),
        after: (_, call) => {
          this.#calls.push(call);
          return () => {};
        },
      },
    });
    this.#fill();
  }

  /** Publishes all changes and returns ms. Throws if an object is not served. */
  publish(): number {
    const begun = performance.now();
    if (this.publisher.synced) this.publisher.changed();
    else for (const source of SOURCES) this.publisher.sourceSynced(source);
    // Policies are compiled in slices.
    for (let call = this.#calls.shift(); call; call = this.#calls.shift()) call();
    const ms = performance.now() - begun;
    const [refused] = this.publisher.refusals();
    if (refused) throw new Error(`${refused.key}: ${refused.message}`);
    return ms;
  }

  /** Another endpoint for the n-th Service. */
  changeEndpoints(n: number): void {
    this.tables.putSlice(this.#slice(n, this.#size.endpoints + 1), null);
  }

  putNode(n: number): void {
    const ownRanges = [WORLD.clients[0]! & ~0xff, WORLD.endpoints[0]! & ~0xff];
    const address = n === 0 ? WORLD.node : NODES_FIRST + n;
    const first = n < 2 ? ownRanges[n]! : RANGES_FIRST + n * RANGE_STEP;
    this.tables.putNode({
      ...{ name: `node${n + 1}`, addresses: [address], publicAddresses: [], zone: '' },
      ...{ podRanges: [{ address: first, mask: ~0xff }], leaving: false },
    });
  }

  #fill(): void {
    const { nodes, services, endpoints, policies } = this.#size;
    for (let n = 0; n < nodes; n++) this.putNode(n);
    this.tables.putService(readService(serviceObject('web', WORLD.vip)));
    this.tables.putSlice(readSlice(sliceObject('web', WORLD.endpoints)), null);
    const pods: number[] = [];
    for (let n = 0; n < services - 1; n++) {
      this.tables.putService(readService(serviceObject(`service-${n}`, SERVICES_FIRST + n)));
      this.tables.putSlice(this.#slice(n, endpoints), null);
      for (let i = 0; i < endpoints; i++) pods.push(this.#podAddress(n * endpoints + i));
    }
    policyTables(policies, [...WORLD.clients, ...pods], WORLD.endpoints, this.tables.policy);
  }

  #slice(n: number, endpoints: number) {
    const first = n * this.#size.endpoints;
    const addresses = Array.from({ length: endpoints }, (_, i) => this.#podAddress(first + i));
    return readSlice(sliceObject(`service-${n}`, addresses));
  }

  /** Spreads pods over the nodes. */
  #podAddress(n: number): number {
    const node = n % this.#size.nodes;
    return RANGES_FIRST + node * RANGE_STEP + 2 + Math.floor(n / this.#size.nodes);
  }
}

/** A pod with the labels of its kind. */
export function newPod(n: number) {
  return benchPod(`new-${n}`, RANGES_FIRST + n * RANGE_STEP + 250, n);
}

function serviceObject(name: string, address: number): Service {
  return {
    metadata: { namespace: 'default', name, labels: { app: name } },
    spec: { clusterIP: formatAddress(address), ports: [{ name: 'http', port: 80 }] },
  } as Service;
}

function sliceObject(name: string, addresses: readonly number[]): EndpointSlice {
  return {
    metadata: {
      ...{ namespace: 'default', name: `${name}-abcde` },
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({
      addresses: [formatAddress(address)],
      conditions: { ready: true, serving: true, terminating: false },
    })),
  } as EndpointSlice;
}
