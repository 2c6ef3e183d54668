// Ownership of pods and ReplicaSets: pkg/controller/controller_ref_manager.go.
import type { ServedKind } from '../apiserver/kind.ts';
import { type KubeObject, keyOf, type OwnerReference } from '../kube/object.ts';
import { type LabelSelector, selects } from '../model/label-selector.ts';
import type { Cluster } from './cluster.ts';

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

/** Objects of a kind by controlling owner, and those without one. */
export class OwnedIndex {
  /** uid of the controlling owner, or the namespace of those without -> objects by name. */
  readonly #groups = new Map<string, Map<string, KubeObject>>();

  put(object: KubeObject): void {
    const key = groupOf(object);
    const group = this.#groups.get(key);
    if (group) group.set(keyOf(object), object);
    else this.#groups.set(key, new Map([[keyOf(object), object]]));
  }

  remove(object: KubeObject): void {
    const key = groupOf(object);
    const group = this.#groups.get(key);
    group?.delete(keyOf(object));
    if (group?.size === 0) this.#groups.delete(key);
  }

  of(uid: string): KubeObject[] {
    return [...(this.#groups.get(uid)?.values() ?? [])];
  }

  /** Objects of a namespace without a controlling owner. */
  orphans(namespace: string): KubeObject[] {
    return [...(this.#groups.get(`/${namespace}`)?.values() ?? [])];
  }
}

function groupOf(object: KubeObject): string {
  return controllerOf(object)?.uid ?? `/${object.metadata.namespace}`;
}

/**
 * The objects of an owner that its selector selects. Adopts selected objects without an owner and
 * releases owned objects that are no longer selected, unless the owner is in deletion.
 */
export function claim(
  { registry }: Cluster,
  kind: ServedKind,
  owner: KubeObject,
  index: OwnedIndex,
  isCandidate: (object: KubeObject) => boolean = () => true,
): KubeObject[] {
  const selector: LabelSelector = owner.spec.selector;
  const namespace = owner.metadata.namespace!;
  const isChosen = ({ metadata }: KubeObject) => selects(selector, metadata.labels);
  const isEnding = owner.metadata.deletionTimestamp !== undefined;
  const write = (object: KubeObject, ownerReferences: OwnerReference[]) => {
    const place = { namespace, name: object.metadata.name };
    return registry.patch(kind, place, { metadata: { ownerReferences } }, false);
  };
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
  for (const object of index.orphans(namespace)) {
    if (object.metadata.deletionTimestamp || !isCandidate(object) || !isChosen(object)) continue;
    const others = object.metadata.ownerReferences ?? [];
    claimed.push(write(object, [...others, controllerRef(owner)]));
  }
  return claimed;
}
