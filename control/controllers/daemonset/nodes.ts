// Which nodes a DaemonSet's pods run on: pkg/controller/daemon (NodeShouldRunDaemonPod),
// pkg/controller/daemon/util (AddOrUpdateDaemonPodTolerations).
import type { KubeObject } from '../../kube/object.ts';
import { isWanted } from '../scheduler/fit.ts';
import { type Taint, type Toleration, untolerated } from '../scheduler/taints.ts';

const PREFIX = 'node.kubernetes.io/';
/** Pods of DaemonSets tolerate these taints, so they stay on an unhealthy node. */
const TOLERATED: [key: string, effect: string][] = [
  ['not-ready', 'NoExecute'],
  ['unreachable', 'NoExecute'],
  ['disk-pressure', 'NoSchedule'],
  ['memory-pressure', 'NoSchedule'],
  ['pid-pressure', 'NoSchedule'],
  ['unschedulable', 'NoSchedule'],
];

/** The spec of a DaemonSet's pod on a node: tolerations, and an affinity to this node alone. */
export function specFor({ spec }: KubeObject, nodeName: string): KubeObject['spec'] {
  const tolerations: Toleration[] = [
    ...(spec.tolerations ?? []),
    ...TOLERATED.map(([name, effect]) => ({ key: PREFIX + name, operator: 'Exists', effect })),
    ...(spec.hostNetwork
      ? [{ key: `${PREFIX}network-unavailable`, operator: 'Exists', effect: 'NoSchedule' }]
      : []),
  ];
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [nodeName] }];
  const required = { nodeSelectorTerms: [{ matchFields }] };
  return {
    ...spec,
    tolerations,
    affinity: {
      ...spec.affinity,
      nodeAffinity: {
        ...spec.affinity?.nodeAffinity,
        requiredDuringSchedulingIgnoredDuringExecution: required,
      },
    },
  };
}

/**
 * Whether a pod of the template starts on a node, and whether one that runs there stays. A taint
 * NoSchedule keeps new pods off and lets running ones stay.
 */
export function fitOf(template: KubeObject, node: KubeObject): { starts: boolean; stays: boolean } {
  const isChosen =
    isWanted(template, node) && [undefined, node.metadata.name].includes(template.spec.nodeName);
  if (!isChosen) return { starts: false, stays: false };
  const pod = { ...template, spec: specFor(template, node.metadata.name) };
  const taints: Taint[] = node.spec?.taints ?? [];
  const ending = taints.filter(({ effect }) => effect === 'NoExecute');
  // A node's conditions keep new pods off it, but they end no running pod.
  const stays = !untolerated(pod, { ...node, spec: { taints: ending }, status: READY });
  return { starts: stays && !untolerated(pod, node), stays };
}

const READY = { conditions: [{ type: 'Ready', status: 'True' }] };

/** The node of a pod: where it runs, or before that the one of its affinity. */
export function nodeOf({ spec }: KubeObject): string {
  if (spec.nodeName) return spec.nodeName;
  const required =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const fields: { key: string; values?: string[] }[] = required?.[0]?.matchFields ?? [];
  return fields.find(({ key }) => key === 'metadata.name')?.values?.[0] ?? '';
}
