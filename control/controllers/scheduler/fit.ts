// Which nodes can take a pod: pkg/scheduler/framework/plugins, in the order in which they are
// asked.

import type { KubeObject } from '../../kube/object.ts';
import { fulfils, type SelectorRule } from '../../model/label-selector.ts';
import { matchesLabels } from '../endpoints/pod-index.ts';
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
export function isWanted({ spec }: KubeObject, { metadata }: KubeObject): boolean {
  const labels = metadata.labels ?? {};
  if (!matchesLabels(spec.nodeSelector ?? {}, labels)) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const terms: Term[] | undefined = required?.nodeSelectorTerms;
  if (!terms) return true;
  const fields = { 'metadata.name': metadata.name };
  return terms.some(({ matchExpressions = [], matchFields = [] }) => {
    // A term that asks for nothing chooses nothing.
    if (matchExpressions.length + matchFields.length === 0) return false;
    const isChosen = matchExpressions.every((rule) => fulfils(rule, labels));
    return isChosen && matchFields.every((rule) => fulfils(rule, fields));
  });
}
