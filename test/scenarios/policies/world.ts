// Nine pods in three namespaces on two nodes. Computes which connections are allowed in two ways:
// with compiler and pipeline of both nodes, and with the naive evaluator.
import { compileArena, noObjects } from '../../../control/explain/objects.ts';
import type { NetworkPolicy } from '../../../control/kube/kinds.ts';
import { Prober } from '../../../datapath/observe/probe.ts';
import { parseAddress, parseRange } from '../../../datapath/wire/address.ts';
import { PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../../datapath/wire/ipv4.ts';
import {
  mayTalk,
  type OracleCluster,
  type OraclePod,
  type OraclePolicy,
} from '../../support/policy-oracle.ts';
import { podObject } from '../../support/policy-pod.ts';

export const NODES = { node1: '172.18.0.11', node2: '172.18.0.12' };
export const OUTSIDE = { out: '203.0.113.10', out99: '203.0.113.99' };
export const PROTOCOLS: Record<string, number> = {
  TCP: PROTO_TCP,
  UDP: PROTO_UDP,
  SCTP: PROTO_SCTP,
};
const NAMESPACES = ['x', 'y', 'z'];
const NAMES = ['a', 'b', 'c'];
const labelsOf = (name: string) => ({ ns: name, 'kubernetes.io/metadata.name': name });
export const LABELS: Record<string, Record<string, string>> = {
  ...{ x: labelsOf('x'), y: labelsOf('y') },
  z: { ...labelsOf('z'), team: 'blue' },
};
/**
 * A pod names each of its ports. `web` is another port in pod b than in pod a, and missing in pod
 * c.
 */
const PORTS = [80, 81].flatMap((containerPort) =>
  Object.keys(PROTOCOLS).map((protocol) => ({
    name: `serve-${containerPort}-${protocol.toLowerCase()}`,
    ...{ protocol, containerPort },
  })),
);
const WEB: Record<string, number> = { a: 80, b: 81 };
const webOf = (name: string) =>
  WEB[name] ? [{ name: 'web', protocol: 'TCP', containerPort: WEB[name] }] : [];

/** `x/a` to `z/c`, pod c on the other node, pod a with one more label. */
export const PODS: OraclePod[] = NAMESPACES.flatMap((namespace, n) =>
  NAMES.map((name, i) => {
    const second = name === 'c';
    return {
      ...{ namespace, name, ports: [...PORTS, ...webOf(name)] },
      labels: {
        ...{ pod: name, 'in-namespace': namespace },
        ...(name === 'a' ? { 'only-a': 'yes' } : {}),
      },
      address: `10.244.${second ? 2 : 1}.${10 + n * 3 + i}`,
      node: second ? NODES.node2 : NODES.node1,
    };
  }),
);

/** Address of `x/a`, `node1`, `out`. */
export const ADDRESSES: Record<string, string> = {
  ...Object.fromEntries(PODS.map((pod) => [`${pod.namespace}/${pod.name}`, pod.address])),
  ...NODES,
  ...OUTSIDE,
};

export type Policies = OraclePolicy[];

export class PolicyWorld {
  readonly cluster: OracleCluster;
  readonly #probers: Record<string, Prober>;

  constructor(policies: Policies, pods: OraclePod[] = PODS) {
    this.cluster = { pods, namespaces: LABELS, policies };
    const objects = {
      ...noObjects(),
      nodes: Object.entries(NODES).map(([name, address], n) => ({
        metadata: { name },
        spec: { podCIDR: `10.244.${n + 1}.0/24` },
        status: { addresses: [{ type: 'InternalIP', address }] },
      })),
      pods: pods.map((pod) => podObject(pod)),
      namespaces: NAMESPACES.map((name) => ({ metadata: { name, labels: LABELS[name]! } })),
      policies: policies as unknown as NetworkPolicy[],
    };
    const range = parseRange('10.96.0.0/16')!;
    this.#probers = Object.fromEntries(
      Object.keys(NODES).map((node) => [
        node,
        new Prober(compileArena(node, objects, range, 1)!, 1),
      ]),
    );
  }

  /** The result of a connection's first packet in the datapaths on its way. */
  passes(from: string, to: string, protocol: string, port: number): boolean {
    const ask = (node: string) => {
      const proto = PROTOCOLS[protocol]!;
      const [src, dst] = [parseAddress(ADDRESSES[from]!)!, parseAddress(ADDRESSES[to]!)!];
      const { verdict } = this.#probers[node]!.ask({ proto, src, sport: 33_000, dst, dport: port });
      return verdict === 'forward';
    };
    const [source, destination] = [this.#nodeOf(from), this.#nodeOf(to)];
    if (source !== null && !ask(source)) return false;
    return destination === null || destination === source || ask(destination);
  }

  mayTalk(from: string, to: string, protocol: string, port: number): boolean {
    return mayTalk(this.cluster, ADDRESSES[from]!, ADDRESSES[to]!, protocol, port);
  }

  #nodeOf(end: string): string | null {
    if (end in NODES) return end;
    const pod = this.cluster.pods.find(({ address }) => address === ADDRESSES[end]);
    if (!pod) return null;
    return pod.node === NODES.node1 ? 'node1' : 'node2';
  }
}
