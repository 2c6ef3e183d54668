// Ports of the node itself, which one pod has at a time: pkg/scheduler/framework/plugins/nodeports.
import type { KubeObject } from '../../kube/object.ts';
import { isOver } from '../pods.ts';

interface HostPort {
  hostPort?: number;
  hostIP?: string;
  protocol?: string;
}

const ANY = '0.0.0.0';
const REFUSED = "node(s) didn't have free ports for the requested pod ports";

/** Which nodes have the ports that a pod wants. */
export class HostPorts {
  readonly #wanted: HostPort[];
  /** Node -> ports that pods on it have; empty if none is wanted. */
  readonly #taken = new Map<string, HostPort[]>();

  constructor(pod: KubeObject, listPods: () => KubeObject[]) {
    this.#wanted = portsOf(pod);
    if (this.#wanted.length === 0) return;
    for (const other of listPods()) {
      const node: string | undefined = other.spec.nodeName;
      if (!node || isOver(other)) continue;
      this.#taken.set(node, [...(this.#taken.get(node) ?? []), ...portsOf(other)]);
    }
  }

  /** Why a node cannot take the pod; null if it can. */
  refusal({ metadata }: KubeObject): string | null {
    const taken = this.#taken.get(metadata.name) ?? [];
    return this.#wanted.some((port) => taken.some((other) => collide(port, other)))
      ? REFUSED
      : null;
  }
}

function portsOf({ spec }: KubeObject): HostPort[] {
  const containers: { ports?: HostPort[] }[] = spec.containers ?? [];
  return containers.flatMap(({ ports = [] }) => ports.filter(({ hostPort }) => hostPort));
}

function collide(a: HostPort, b: HostPort): boolean {
  if (a.hostPort !== b.hostPort || (a.protocol ?? 'TCP') !== (b.protocol ?? 'TCP')) return false;
  const [one, other] = [a.hostIP || ANY, b.hostIP || ANY];
  return one === other || one === ANY || other === ANY;
}
