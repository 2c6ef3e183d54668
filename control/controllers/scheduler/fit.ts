// Which nodes fit a pod: pkg/scheduler/framework/plugins, in their order.
import type { KubeObject } from '../../kube/object.ts';
import { fulfils, type SelectorRule, selects } from '../../model/label-selector.ts';
import { isOver } from '../pods.ts';
import { toleratesCordon, untolerated } from './taints.ts';

interface Term {
  matchExpressions?: SelectorRule[];
  matchFields?: SelectorRule[];
}

/** Why a node cannot take a pod, in the scheduler's own words; null if it can. */
export function refusal(pod: KubeObject, node: KubeObject): string | null {
  if (node.spec?.unschedulable && !toleratesCordon(pod)) return 'node(s) were unschedulable';
  const taint = untolerated(pod, node);
  if (taint) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  return isWanted(pod, node) ? null : "node(s) didn't match Pod's node affinity/selector";
}

/** True if a pod's node selector and required node affinity choose a node. */
export function isWanted({ spec }: KubeObject, node: KubeObject): boolean {
  if (!selects({ matchLabels: spec.nodeSelector }, node.metadata.labels ?? {})) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms: Term[] | undefined = required?.nodeSelectorTerms;
  return !terms || matchesTerms(terms, node);
}

/** True if one of the terms of a node selector chooses a node. */
export function matchesTerms(terms: Term[], { metadata }: KubeObject): boolean {
  const labels = metadata.labels ?? {};
  const fields = { 'metadata.name': metadata.name };
  return terms.some(({ matchExpressions = [], matchFields = [] }) => {
    // An empty term selects nothing.
    if (matchExpressions.length + matchFields.length === 0) return false;
    const isChosen = matchExpressions.every((rule) => fulfils(rule, labels));
    return isChosen && matchFields.every((rule) => fulfils(rule, fields));
  });
}

// Host ports: pkg/scheduler/framework/plugins/nodeports.

interface HostPort {
  hostPort?: number;
  hostIP?: string;
  protocol?: string;
}

const ANY = '0.0.0.0';
const REFUSED = "node(s) didn't have free ports for the requested pod ports";

/** Finds nodes on which a pod's host ports are free. */
export class HostPorts {
  readonly #wanted: HostPort[];
  /** Node -> host ports in use. Empty if the pod has none. */
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
