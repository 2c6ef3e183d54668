// Objects in groups, so that a controller reads only those that it needs.
import { type KubeObject, keyOf } from '../kube/object.ts';
import type { Change } from './controller.ts';

/** Values by group and key, in the order of their first writes. */
export class Groups<V> {
  readonly #groups = new Map<string, Map<string, V>>();

  put(group: string, key: string, value: V): void {
    const values = this.#groups.get(group);
    if (values) values.set(key, value);
    else this.#groups.set(group, new Map([[key, value]]));
  }

  remove(group: string, key: string): void {
    const values = this.#groups.get(group);
    values?.delete(key);
    if (values?.size === 0) this.#groups.delete(group);
  }

  /** The values of a group by key, undefined for a group without values. */
  get(group: string): ReadonlyMap<string, V> | undefined {
    return this.#groups.get(group);
  }
}

/** Objects of a kind by groups that follow from each object. */
export class ObjectIndex {
  readonly #groups = new Groups<KubeObject>();
  readonly #groupsOf: (object: KubeObject) => string[];

  constructor(groupsOf: (object: KubeObject) => string[]) {
    this.#groupsOf = groupsOf;
  }

  /** Follows a change of an object. */
  update({ type, object, old }: Change): void {
    if (old) for (const group of this.#groupsOf(old)) this.#groups.remove(group, keyOf(old));
    if (type === 'DELETED') return;
    for (const group of this.#groupsOf(object)) this.#groups.put(group, keyOf(object), object);
  }

  of(group: string): KubeObject[] {
    return [...(this.#groups.get(group)?.values() ?? [])];
  }

  /** The number of objects in a group. */
  size(group: string): number {
    return this.#groups.get(group)?.size ?? 0;
  }
}
