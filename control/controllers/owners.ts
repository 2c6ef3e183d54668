// Ownership of pods and ReplicaSets: pkg/controller/controller_ref_manager.go.
import type { KubeObject, OwnerReference } from '../kube/object.ts';
import { type LabelSelector, selects } from '../model/label-selector.ts';
import type { Cluster } from './controller.ts';
import { ObjectIndex } from './object-index.ts';

/** The controlling owner of an object. */
export function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller);
}

/** The reference to a controlling owner. */
export function controllerRef({ apiVersion, kind, metadata }: KubeObject): OwnerReference {
  return {
    apiVersion: apiVersion!,
    kind: kind!,
    name: metadata.name,
    uid: metadata.uid!,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Removes a finalizer from an object, which can end the object. */
export function dropFinalizer(cluster: Cluster, object: KubeObject, finalizer: string): void {
  const { finalizers = [] } = object.metadata;
  if (!finalizers.includes(finalizer)) return;
  const left = finalizers.filter((name) => name !== finalizer);
  cluster.patch(object, { metadata: { finalizers: left.length > 0 ? left : null } });
}

/** Objects of a kind by the uid of their controlling owner, those without one by `/NAMESPACE`. */
export function ownedIndex(): ObjectIndex {
  return new ObjectIndex((object) => [
    controllerOf(object)?.uid ?? `/${object.metadata.namespace}`,
  ]);
}

/**
 * The objects of an owner that its selector selects. Adopts selected objects without a controller
 * and releases owned objects that are no longer selected, unless the owner is in deletion.
 */
export function claim(
  cluster: Cluster,
  owner: KubeObject,
  index: ObjectIndex,
  isCandidate: (object: KubeObject) => boolean = () => true,
): KubeObject[] {
  const selector: LabelSelector = owner.spec.selector;
  const namespace = owner.metadata.namespace!;
  const isChosen = ({ metadata }: KubeObject) => selects(selector, metadata.labels);
  const isEnding = owner.metadata.deletionTimestamp !== undefined;
  const write = (object: KubeObject, ownerReferences: OwnerReference[]) =>
    cluster.patch(object, { metadata: { ownerReferences } });
  const claimed: KubeObject[] = [];
  for (const object of index.of(owner.metadata.uid!)) {
    if (object.metadata.namespace !== namespace || !isCandidate(object)) continue;
    if (isChosen(object)) claimed.push(object);
    else if (!isEnding) {
      const owners = object.metadata.ownerReferences!;
      write(
        object,
        owners.filter(({ uid }) => uid !== owner.metadata.uid),
      );
    }
  }
  if (isEnding) return claimed;
  for (const object of index.of(`/${namespace}`)) {
    if (object.metadata.deletionTimestamp || !isCandidate(object) || !isChosen(object)) continue;
    const others = object.metadata.ownerReferences ?? [];
    claimed.push(write(object, [...others, controllerRef(owner)]));
  }
  return claimed;
}
