// Names, labels and revisions of a StatefulSet's pods: pkg/controller/statefulset
// (stateful_set_utils.go).
import type { KubeObject } from '../../kube/object.ts';
import { REVISION_LABEL } from '../history.ts';
import { availableInMs } from '../pods.ts';

const POD_NAME_LABEL = 'statefulset.kubernetes.io/pod-name';
const POD_INDEX_LABEL = 'apps.kubernetes.io/pod-index';

/** The ordinal of a pod by its name; -1 if the name is none of the set's. */
export function ordinalOf(set: KubeObject, { metadata }: KubeObject): number {
  const prefix = `${set.metadata.name}-`;
  const { name } = metadata;
  const rest = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return /^(0|[1-9]\d*)$/.test(rest) ? Number(rest) : -1;
}

export function startOf({ spec }: KubeObject): number {
  return spec.ordinals?.start ?? 0;
}

/** True if the set wants a pod with this ordinal. */
export function isWantedOrdinal(set: KubeObject, ordinal: number): boolean {
  const start = startOf(set);
  return ordinal >= start && ordinal < start + set.spec.replicas;
}

export function isOfRevision({ metadata }: KubeObject, revision: KubeObject): boolean {
  return metadata.labels?.[REVISION_LABEL] === revision.metadata.name;
}

export function isTerminating({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}

/** True if a pod runs and has been ready for minReadySeconds. A pod in deletion can be. */
export function isAvailable({ spec }: KubeObject, pod: KubeObject, nowMs: number): boolean {
  const isRunning = pod.status?.phase === 'Running';
  return isRunning && availableInMs(pod, spec.minReadySeconds ?? 0, nowMs) === 0;
}

/** The labels that name a pod of the set. */
export function identityLabels({ metadata }: KubeObject, ordinal: number): Record<string, string> {
  return { [POD_NAME_LABEL]: `${metadata.name}-${ordinal}`, [POD_INDEX_LABEL]: String(ordinal) };
}

/** Metadata and spec of the pod with an ordinal. */
export function describePod(
  set: KubeObject,
  template: KubeObject,
  revision: KubeObject,
  ordinal: number,
  volumes: object[],
): { metadata: object; spec: object } {
  const name = `${set.metadata.name}-${ordinal}`;
  return {
    metadata: {
      name,
      labels: { ...identityLabels(set, ordinal), [REVISION_LABEL]: revision.metadata.name },
    },
    spec: {
      ...template.spec,
      ...(volumes.length > 0 && { volumes }),
      hostname: name,
      ...(set.spec.serviceName && { subdomain: set.spec.serviceName }),
    },
  };
}
