// Claims of a StatefulSet's pods: pkg/controller/statefulset (stateful_pod_control.go,
// stateful_set_utils.go).
import { isEqual, type KubeObject } from '../../kube/object.ts';
import type { Cluster } from '../controller.ts';
import { controllerRef } from '../owners.ts';
import { isWantedOrdinal, ordinalOf } from './identity.ts';

const CLAIMS = 'persistentvolumeclaims';

interface Template {
  metadata: { name: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  spec: object;
}

function templatesOf({ spec }: KubeObject): Template[] {
  return spec.volumeClaimTemplates ?? [];
}

function claimName(set: KubeObject, template: Template, ordinal: number): string {
  return `${template.metadata.name}-${set.metadata.name}-${ordinal}`;
}

/** The volumes of a pod: a claim takes the place of a volume of the same name. */
export function volumesOf(set: KubeObject, template: KubeObject, ordinal: number): object[] {
  const claims = templatesOf(set).map((claim) => ({
    name: claim.metadata.name,
    persistentVolumeClaim: { claimName: claimName(set, claim, ordinal) },
  }));
  const names = new Set(claims.map(({ name }) => name));
  const own: { name: string }[] = template.spec.volumes ?? [];
  return [...claims, ...own.filter(({ name }) => !names.has(name))];
}

function claimOf(
  { store }: Cluster,
  set: KubeObject,
  template: Template,
  ordinal: number,
): KubeObject | undefined {
  return store.get(CLAIMS, set.metadata.namespace!, claimName(set, template, ordinal));
}

/** The claims that a pod lacks. Claims of an earlier pod with this name serve again. */
export function missingClaims(cluster: Cluster, set: KubeObject, ordinal: number): KubeObject[] {
  return templatesOf(set)
    .filter((template) => !claimOf(cluster, set, template, ordinal))
    .map((template) => {
      const { labels, annotations } = template.metadata;
      return {
        metadata: {
          name: claimName(set, template, ordinal),
          labels: { ...labels, ...set.spec.selector.matchLabels },
          ...(annotations && { annotations }),
        },
        spec: template.spec,
      };
    });
}

/** True if a claim ends with an earlier pod of this name. The next pod waits until it has. */
export function hasStaleClaim(cluster: Cluster, set: KubeObject, ordinal: number): boolean {
  const podName = `${set.metadata.name}-${ordinal}`;
  return templatesOf(set).some((template) => {
    const { metadata } = claimOf(cluster, set, template, ordinal) ?? { metadata: null };
    const owners = metadata?.ownerReferences ?? [];
    const isOfPod = owners.some(({ kind, name }) => kind === 'Pod' && name === podName);
    return isOfPod || metadata?.deletionTimestamp !== undefined;
  });
}

/**
 * Gives the claims of a pod the owner that persistentVolumeClaimRetentionPolicy asks for, so that
 * garbage collection deletes them with the pod or the set. Other owners stay.
 */
export function syncRetention(cluster: Cluster, set: KubeObject, pod: KubeObject): void {
  const { whenDeleted, whenScaled } = set.spec.persistentVolumeClaimRetentionPolicy;
  const ordinal = ordinalOf(set, pod);
  const isCondemned = !isWantedOrdinal(set, ordinal);
  const owner =
    isCondemned && whenScaled === 'Delete' ? pod : whenDeleted === 'Delete' ? set : null;
  for (const template of templatesOf(set)) {
    const claim = claimOf(cluster, set, template, ordinal);
    if (!claim) continue;
    const before = claim.metadata.ownerReferences ?? [];
    const uids = [set.metadata.uid, pod.metadata.uid];
    const kept = before.filter(({ uid }) => !uids.includes(uid));
    const after = owner ? [...kept, controllerRef(owner)] : kept;
    if (isEqual(before, after)) continue;
    const ownerReferences = after.length > 0 ? after : null;
    cluster.patch(claim, { metadata: { ownerReferences } });
  }
}
