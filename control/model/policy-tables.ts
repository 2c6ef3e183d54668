import { isEqual } from '../kube/object.ts';
import type { NamespaceRow, NetworkPolicyRow, PolicyPodRow } from './policy-rows.ts';

/** Keys of changed and deleted objects since the last compile. */
export interface PolicyChanges {
  pods: Set<string>;
  /** Addresses of new, deleted and changed pods. */
  addresses: Set<number>;
  namespaces: Set<string>;
  policies: Set<string>;
}

/** Policies, pods and namespaces that the agent knows, with a record of changes. */
export class PolicyTables {
  /**
   * In the order of their addresses' assignment. If pods share an address, the latest one has it.
   */
  readonly pods = new Map<string, PolicyPodRow>();
  readonly namespaces = new Map<string, NamespaceRow>();
  readonly policies = new Map<string, NetworkPolicyRow>();
  /** Address -> keys of its pods, oldest first. */
  readonly #claims = new Map<number, Set<string>>();
  #changes: PolicyChanges = noChanges();

  putPod(row: PolicyPodRow): void {
    const before = this.pods.get(row.key);
    if (before && isEqual(before, row)) return; // True for most changes of a pod's status.
    const moved = before && (before.uid !== row.uid || before.address !== row.address);
    if (moved) this.deletePod(row.key);
    this.pods.set(row.key, row);
    const claims = this.#claims.get(row.address);
    if (claims) claims.add(row.key);
    else this.#claims.set(row.address, new Set([row.key]));
    this.#podChanged(row);
  }

  deletePod(key: string): void {
    const row = this.pods.get(key);
    if (!row) return;
    this.pods.delete(key);
    const claims = this.#claims.get(row.address)!;
    claims.delete(key);
    if (claims.size === 0) this.#claims.delete(row.address);
    this.#podChanged(row);
  }

  /** The pod of an address: the latest one. A pod in deletion only if there is no other. */
  ownerOf(address: number): PolicyPodRow | undefined {
    let owner: PolicyPodRow | undefined;
    for (const key of this.#claims.get(address) ?? []) {
      const row = this.pods.get(key)!;
      if (!row.ending || owner?.ending !== false) owner = row;
    }
    return owner;
  }

  #podChanged({ key, address }: PolicyPodRow): void {
    this.#changes.pods.add(key);
    this.#changes.addresses.add(address);
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
  return {
    ...{ pods: new Set(), addresses: new Set() },
    ...{ namespaces: new Set(), policies: new Set() },
  };
}
