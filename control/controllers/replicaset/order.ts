// Which pods go first: pkg/controller/controller_utils.go (ActivePodsWithRanks).
import type { KubeObject } from '../../kube/object.ts';
import { isActive, readySinceMs } from '../pods.ts';

const PHASES = ['Pending', 'Unknown', 'Running'];
const COST = 'controller.kubernetes.io/pod-deletion-cost';

/**
 * Pods in the order of deletion: without a node, pending, not ready, low deletion cost, with
 * related pods on the same node, ready for a short time, many restarts, young.
 *
 * @param related pods with the same purpose, including `pods`.
 */
export function sortForDeletion(pods: KubeObject[], related: KubeObject[]): KubeObject[] {
  const onNode = Map.groupBy(related.filter(isActive), ({ spec }) => spec.nodeName);
  const rank = (pod: KubeObject): number[] => [
    pod.spec.nodeName ? 1 : 0,
    PHASES.indexOf(pod.status?.phase),
    readySinceMs(pod) === null ? 0 : 1,
    Number.parseInt(pod.metadata.annotations?.[COST] ?? '', 10) || 0,
    -(onNode.get(pod.spec.nodeName)?.length ?? 0),
    -(readySinceMs(pod) ?? 0),
    -restartsOf(pod),
    -Date.parse(pod.metadata.creationTimestamp ?? ''),
  ];
  const ranked = pods.map((pod) => ({ pod, rank: rank(pod) }));
  ranked.sort(
    (a, b) => compare(a.rank, b.rank) || (a.pod.metadata.uid! < b.pod.metadata.uid! ? -1 : 1),
  );
  return ranked.map(({ pod }) => pod);
}

function compare(a: number[], b: number[]): number {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value - b[i]!;
  return 0;
}

/** The highest restart count of a pod's containers. */
function restartsOf({ status }: KubeObject): number {
  const containers: { restartCount?: number }[] = status?.containerStatuses ?? [];
  return Math.max(0, ...containers.map(({ restartCount }) => restartCount ?? 0));
}
