import type { LabelSelector } from '../model/label-selector.ts';
import type { NetworkPolicyRow, PodPeerRow } from '../model/policy-rows.ts';

/** Pods by their labels and by those of their namespaces. */
export interface PodSelector {
  /** The namespace that is meant while `namespaces` is null. */
  namespace: string;
  namespaces: LabelSelector | null;
  pods: LabelSelector;
}

/** The pods that a policy is for. */
export function subjectsOf({ namespace, selector }: NetworkPolicyRow): PodSelector {
  return { namespace, namespaces: null, pods: selector };
}

/** The pods that a peer of a policy's rule means. */
export function peersOf({ namespace }: NetworkPolicyRow, peer: PodPeerRow): PodSelector {
  const { namespaces, pods } = peer;
  return { namespace: namespaces ? '' : namespace, namespaces, pods };
}

/** The same for selectors that are written the same; only time is lost where it differs. */
export function keyOf({ namespace, namespaces, pods }: PodSelector): string {
  return JSON.stringify([namespace, namespaces, pods]);
}

/** True for one that chooses every pod of the cluster. */
export function choosesAll({ namespaces, pods }: PodSelector): boolean {
  return namespaces !== null && isEmpty(namespaces) && isEmpty(pods);
}

function isEmpty({ matchLabels, matchExpressions }: LabelSelector): boolean {
  return Object.keys(matchLabels ?? {}).length === 0 && (matchExpressions ?? []).length === 0;
}
