// Topology spread constraints: pkg/scheduler/framework/plugins/podtopologyspread.

import { type KubeObject, own } from '../../kube/object.ts';
import { type LabelSelector, selects } from '../../model/label-selector.ts';
import { isActive } from '../pods.ts';
import { isWanted } from './fit.ts';

interface Constraint {
  maxSkew: number;
  topologyKey: string;
  whenUnsatisfiable: 'DoNotSchedule' | 'ScheduleAnyway';
  labelSelector?: LabelSelector;
  matchLabelKeys?: string[];
  minDomains?: number;
}

const REFUSED = "node(s) didn't match pod topology spread constraints";

/** Placement of a pod by its spread constraints. */
export class TopologySpread {
  readonly #pod: KubeObject;
  /** Counts of pods by domain, for each constraint. */
  readonly #counted: { constraint: Constraint; domains: Map<string, number> }[];

  constructor(pod: KubeObject, nodes: KubeObject[], listPods: () => KubeObject[]) {
    this.#pod = pod;
    const constraints: Constraint[] = pod.spec.topologySpreadConstraints ?? [];
    const pods = constraints.length > 0 ? listPods() : [];
    this.#counted = constraints.map((constraint) => ({
      constraint,
      domains: countPods(pod, constraint, nodes, pods),
    }));
  }

  /** Why a node cannot take the pod; null if it can. */
  refusal(node: KubeObject): string | null {
    for (const { constraint, domains } of this.#counted) {
      if (constraint.whenUnsatisfiable !== 'DoNotSchedule') continue;
      const domain = domainOf(node, constraint);
      if (domain === undefined) return `${REFUSED} (missing required label)`;
      const isFew = domains.size < (constraint.minDomains ?? 1);
      const fewest = isFew ? 0 : Math.min(...domains.values());
      const own = isChosen(this.#pod, this.#pod, constraint) ? 1 : 0;
      if ((domains.get(domain) ?? 0) + own - fewest > constraint.maxSkew) return REFUSED;
    }
    return null;
  }

  /** A score for soft constraints: pods in the node's domains. Lower is better. */
  cost(node: KubeObject): number {
    let cost = 0;
    for (const { constraint, domains } of this.#counted) {
      if (constraint.whenUnsatisfiable !== 'ScheduleAnyway') continue;
      const domain = domainOf(node, constraint);
      // A node without the topology key comes last.
      cost += domain === undefined ? Number.MAX_SAFE_INTEGER : (domains.get(domain) ?? 0);
    }
    return cost;
  }
}

/** Pods of a constraint by domain, with empty domains that the pod could use. */
function countPods(
  pod: KubeObject,
  constraint: Constraint,
  nodes: KubeObject[],
  pods: KubeObject[],
): Map<string, number> {
  const domains = new Map<string, number>();
  const domainOfNode = new Map<string, string>();
  for (const node of nodes) {
    const domain = domainOf(node, constraint);
    if (domain === undefined || !isWanted(pod, node)) continue;
    domains.set(domain, 0);
    domainOfNode.set(node.metadata.name, domain);
  }
  for (const other of pods) {
    const domain = domainOfNode.get(other.spec.nodeName);
    if (domain === undefined || !isActive(other) || !isChosen(pod, other, constraint)) continue;
    domains.set(domain, domains.get(domain)! + 1);
  }
  return domains;
}

function domainOf({ metadata }: KubeObject, { topologyKey }: Constraint): string | undefined {
  return own(metadata.labels, topologyKey);
}

/** True if the constraint counts `other` for `pod`. */
function isChosen(
  pod: KubeObject,
  other: KubeObject,
  { labelSelector, matchLabelKeys = [] }: Constraint,
): boolean {
  const [mine, its] = [pod.metadata.labels ?? {}, other.metadata.labels ?? {}];
  if (!selects(labelSelector, its)) return false;
  return matchLabelKeys.every((key) => !(key in mine) || mine[key] === its[key]);
}
