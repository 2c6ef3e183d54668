// Affinity and anti-affinity of pods: pkg/scheduler/framework/plugins/interpodaffinity.

import type { Store } from '../../apiserver/store/store.ts';
import { type KubeObject, own } from '../../kube/object.ts';
import { type LabelSelector, selects } from '../../model/label-selector.ts';
import { isOver } from '../pods.ts';

interface Term {
  topologyKey: string;
  labelSelector?: LabelSelector;
  namespaces?: string[];
  namespaceSelector?: LabelSelector;
}

/** Topology key and value, such as `zone=a`. */
type Domains = Set<string>;

/** True if a pod has required anti-affinity. */
export function keepsAway(pod: KubeObject): boolean {
  return requiredOf(pod, 'podAntiAffinity').length > 0;
}

/** The nodes on which affinity lets a pod run. Ignores preferences. */
export class PodAffinity {
  readonly #near: Term[];
  /**
   * For each term of `near` the domains with a matching pod. Null if this pod is the first match of
   * its own terms.
   */
  readonly #nearDomains: Domains | null;
  readonly #far: Domains;
  /** Domains that the anti-affinity of other pods excludes. */
  readonly #forbidden: Domains;

  /** @param guarded pods with anti-affinity. */
  constructor(store: Store, pod: KubeObject, guarded: KubeObject[]) {
    this.#near = requiredOf(pod, 'podAffinity');
    const far = requiredOf(pod, 'podAntiAffinity');
    const isAsking = this.#near.length + far.length > 0;
    const others = isAsking ? store.list('pods').filter(isPlaced) : [];
    const friends = others.filter((other) => this.#isFriend(store, pod, other));
    const isFirst = friends.length === 0 && this.#isFriend(store, pod, pod);
    this.#nearDomains = isFirst ? null : domainsOf(store, this.#near, friends);
    this.#far = new Set(
      far.flatMap((term) => {
        const foes = others.filter((other) => isMeant(store, term, pod, other));
        return [...domainsOf(store, [term], foes)];
      }),
    );
    this.#forbidden = new Set(
      guarded.filter(isPlaced).flatMap((guard) =>
        requiredOf(guard, 'podAntiAffinity')
          .filter((term) => isMeant(store, term, guard, pod))
          .flatMap((term) => [...domainsOf(store, [term], [guard])]),
      ),
    );
  }

  /** Why a node cannot take the pod; null if it can. */
  refusal(node: KubeObject): string | null {
    const labels = Object.entries(node.metadata.labels ?? {});
    const isIn = (domains: Domains) =>
      labels.some(([key, value]) => domains.has(`${key}=${value}`));
    const isNear = this.#near.every(({ topologyKey }) => {
      const value = own(node.metadata.labels, topologyKey);
      if (value === undefined) return false;
      return this.#nearDomains === null || this.#nearDomains.has(`${topologyKey}=${value}`);
    });
    if (!isNear) return "node(s) didn't match pod affinity rules";
    if (isIn(this.#far)) return "node(s) didn't match pod anti-affinity rules";
    return isIn(this.#forbidden)
      ? "node(s) didn't satisfy existing pods anti-affinity rules"
      : null;
  }

  /** A pod must match all terms. */
  #isFriend(store: Store, pod: KubeObject, other: KubeObject): boolean {
    return this.#near.length > 0 && this.#near.every((term) => isMeant(store, term, pod, other));
  }
}

function requiredOf({ spec }: KubeObject, kind: 'podAffinity' | 'podAntiAffinity'): Term[] {
  return spec.affinity?.[kind]?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

function isPlaced(pod: KubeObject): boolean {
  return Boolean(pod.spec.nodeName) && !isOver(pod);
}

/** True if a term of `owner` selects `other`. */
function isMeant(store: Store, term: Term, owner: KubeObject, other: KubeObject): boolean {
  const { labelSelector, namespaces = [], namespaceSelector } = term;
  if (!selects(labelSelector, other.metadata.labels)) return false;
  const namespace = other.metadata.namespace!;
  if (namespaces.includes(namespace)) return true;
  if (namespaceSelector) {
    const labels = store.get('namespaces', '', namespace)?.metadata.labels;
    return selects(namespaceSelector, labels);
  }
  return namespaces.length === 0 && namespace === owner.metadata.namespace;
}

/** The domains of pods for terms. */
function domainsOf(store: Store, terms: Term[], pods: KubeObject[]): Domains {
  const domains: Domains = new Set();
  for (const { spec } of pods) {
    const labels = store.get('nodes', '', spec.nodeName)?.metadata.labels ?? {};
    for (const { topologyKey } of terms) {
      const value = own(labels, topologyKey);
      if (value !== undefined) domains.add(`${topologyKey}=${value}`);
    }
  }
  return domains;
}
