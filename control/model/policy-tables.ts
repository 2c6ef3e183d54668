import { isEqual } from '../apiserver/object.ts';
import type { NamespaceRow, NetworkPolicyRow, PolicyPodRow } from './policy-rows.ts';

/** Keys of what has changed since the tables were last compiled, deleted ones among them. */
export interface PolicyChanges {
  pods: Set<string>;
  namespaces: Set<string>;
  policies: Set<string>;
}

/** Policies and what they speak of, as this agent knows them, and a record of what has changed. */
export class PolicyTables {
  /** In the order in which they came by their addresses: of two pods that claim one the later one has it. */
  readonly pods = new Map<string, PolicyPodRow>();
  readonly namespaces = new Map<string, NamespaceRow>();
  readonly policies = new Map<string, NetworkPolicyRow>();
  #changes: PolicyChanges = noChanges();

  putPod(row: PolicyPodRow): void {
    const before = this.pods.get(row.key);
    if (before && isEqual(before, row)) return; // Most changes of a pod's status.
    const moved = before && (before.uid !== row.uid || before.address !== row.address);
    if (moved) this.pods.delete(row.key);
    this.pods.set(row.key, row);
    this.#changes.pods.add(row.key);
  }

  deletePod(key: string): void {
    if (this.pods.delete(key)) this.#changes.pods.add(key);
  }

  putNamespace(row: NamespaceRow): void {
    const before = this.namespaces.get(row.name);
    if (before && isEqual(before, row)) return;
    this.namespaces.set(row.name, row);
    this.#changes.namespaces.add(row.name);
  }

  deleteNamespace(name: string): void {
    if (this.namespaces.delete(name)) this.#changes.namespaces.add(name);
  }

  putPolicy(row: NetworkPolicyRow): void {
    const before = this.policies.get(row.key);
    if (before && isEqual(before, row)) return;
    this.policies.set(row.key, row);
    this.#changes.policies.add(row.key);
  }

  deletePolicy(key: string): void {
    if (this.policies.delete(key)) this.#changes.policies.add(key);
  }

  /** True if nothing has changed since `takeChanges`. */
  get clean(): boolean {
    const { pods, namespaces, policies } = this.#changes;
    return pods.size + namespaces.size + policies.size === 0;
  }

  takeChanges(): PolicyChanges {
    const taken = this.#changes;
    this.#changes = noChanges();
    return taken;
  }
}

function noChanges(): PolicyChanges {
  return { pods: new Set(), namespaces: new Set(), policies: new Set() };
}
