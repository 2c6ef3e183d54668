// Claims of a StatefulSet's pods: pkg/controller/statefulset (stateful_pod_control.go,
// stateful_set_utils.go).
import { isEqual, type KubeObject, type OwnerReference } from '../../kube/object.ts';
import type { Cluster } from '../controller.ts';
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

/** Creates the missing claims of a pod. Claims of an earlier pod with this name serve again. */
export function createClaims(cluster: Cluster, set: KubeObject, ordinal: number): void {
  const namespace = set.metadata.namespace!;
  for (const template of templatesOf(set)) {
    const name = claimName(set, template, ordinal);
    if (cluster.store.get(CLAIMS, namespace, name)) continue;
    const { labels, annotations } = template.metadata;
    cluster.create('PersistentVolumeClaim', namespace, {
      metadata: {
        name,
        labels: { ...labels, ...set.spec.selector.matchLabels },
        ...(annotations && { annotations }),
      },
      spec: template.spec,
    });
  }
}

/**
 * Gives each claim the owner that persistentVolumeClaimRetentionPolicy asks for, so that garbage
 * collection deletes it with its pod or its set.
 */
export function syncRetention(cluster: Cluster, set: KubeObject, pods: KubeObject[]): void {
  const { whenDeleted, whenScaled } = set.spec.persistentVolumeClaimRetentionPolicy;
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    const isCondemned = !isWantedOrdinal(set, ordinal);
    const owner =
      isCondemned && whenScaled === 'Delete' ? pod : whenDeleted === 'Delete' ? set : null;
    for (const template of templatesOf(set)) {
      const claim = cluster.store.get(
        CLAIMS,
        set.metadata.namespace!,
        claimName(set, template, ordinal),
      );
      if (!claim) continue;
      const before = claim.metadata.ownerReferences ?? [];
      const isOurs = ({ uid }: OwnerReference) =>
        uid === set.metadata.uid || uid === pod.metadata.uid;
      const kept = before.filter((reference) => !isOurs(reference));
      const after = owner ? [...kept, referenceTo(owner)] : kept;
      if (isEqual(before, after)) continue;
      const ownerReferences = after.length > 0 ? after : null;
      cluster.patch(claim, { metadata: { ownerReferences } });
    }
  }
}

function referenceTo({ apiVersion, kind, metadata }: KubeObject): OwnerReference {
  return { apiVersion: apiVersion!, kind: kind!, name: metadata.name, uid: metadata.uid! };
}
