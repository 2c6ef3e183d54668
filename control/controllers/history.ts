// Revisions of a template, as ControllerRevisions: pkg/controller/history.
import { isObject, type KubeObject } from '../kube/object.ts';
import { type LabelSelector, selects } from '../model/label-selector.ts';
import type { Cluster } from './controller.ts';
import { controllerOf, controllerRef } from './owners.ts';
import { isSameTemplate, templateHash } from './template.ts';

/** Label of pods with the name or the hash of their revision. */
export const REVISION_LABEL = 'controller-revision-hash';

/** All revisions of an owner, the oldest first. Adopts those that an earlier owner left. */
export function revisionsOf(cluster: Cluster, owner: KubeObject): KubeObject[] {
  const { namespace, uid } = owner.metadata;
  const selector: LabelSelector = owner.spec.selector;
  return cluster.store
    .list('controllerrevisions', namespace)
    .flatMap((revision) => {
      const { labels, deletionTimestamp, ownerReferences = [] } = revision.metadata;
      const controller = controllerOf(revision);
      if (controller) return controller.uid === uid ? [revision] : [];
      if (deletionTimestamp || !selects(selector, labels)) return [];
      const owners = [...ownerReferences, controllerRef(owner)];
      return [cluster.patch(revision, { metadata: { ownerReferences: owners } })];
    })
    .sort((a, b) => numberOf(a) - numberOf(b));
}

function numberOf({ revision }: KubeObject): number {
  return Number(revision ?? 0);
}

/** The template that a revision holds. */
export function templateOf({ data }: KubeObject): KubeObject {
  const spec = isObject(data) && isObject(data.spec) ? data.spec : {};
  const { $patch: _, ...template } = (spec.template ?? {}) as Record<string, unknown>;
  return template as unknown as KubeObject;
}

/**
 * The revision of an owner's template, the last of `all`. An equal older revision gets the newest
 * number, as after `rollout undo`; otherwise a revision is created.
 *
 * @param hashLabel the label of the revision that holds the hash.
 */
export function syncRevision(
  cluster: Cluster,
  owner: KubeObject,
  all: KubeObject[],
  hashLabel: string,
): KubeObject {
  const { store } = cluster;
  const { metadata, spec } = owner;
  const next = numberOf(all.at(-1) ?? ({} as KubeObject)) + 1;
  const equal = all.findLast((revision) => isSameTemplate(templateOf(revision), spec.template));
  if (equal) {
    if (equal === all.at(-1)) return equal;
    return cluster.patch(equal, { revision: next });
  }
  for (let collisions = 0; ; collisions++) {
    const hash = templateHash(spec.template, collisions);
    const name = `${metadata.name}-${hash}`;
    // A revision of another owner may have the name.
    if (store.get('controllerrevisions', metadata.namespace!, name)) continue;
    return cluster.create('ControllerRevision', metadata.namespace!, {
      metadata: {
        name,
        labels: { ...spec.template.metadata?.labels, [hashLabel]: hash },
        annotations: metadata.annotations ?? {},
        ownerReferences: [controllerRef(owner)],
      },
      data: { spec: { template: { ...spec.template, $patch: 'replace' } } },
      revision: next,
    });
  }
}

/** Deletes the oldest revisions beyond the limit, except those in use. */
export function forgetRevisions(
  cluster: Cluster,
  { spec }: KubeObject,
  all: KubeObject[],
  isUsed: (revision: KubeObject) => boolean,
): void {
  const old = all.filter((revision) => !isUsed(revision));
  const excess = old.length - spec.revisionHistoryLimit;
  for (const revision of old.slice(0, Math.max(0, excess))) {
    cluster.remove(revision);
  }
}
