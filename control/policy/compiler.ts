import { isDeepStrictEqual } from 'node:util';
import type { PolicySurvivors } from '../../datapath/image/policy-reader.ts';
import { POLICY_ID_MAX, type PolicyChange, type PolicyPod } from '../../datapath/policy/policy.ts';
import { finish, STEP_ELEMENTS, type Steps } from '../../datapath/steps.ts';
import type { NamespaceRow, NetworkPolicyRow, PolicyPodRow } from '../model/policy-rows.ts';
import type { PolicyChanges, PolicyTables } from '../model/policy-tables.ts';
import { Groups } from './groups.ts';
import { keyOf, type PodSelector, peersOf, rulesOf, subjectsOf } from './rule-plan.ts';
import { Rulebook } from './rules.ts';

/** Input of one compile. A mix of an old and a new state could allow what both forbid. */
interface Snapshot {
  policies: NetworkPolicyRow[];
  namespaces: ReadonlyMap<string, NamespaceRow>;
  /** Addresses whose pod may have changed, with the present pod. */
  changedOwners: [address: number, row: PolicyPodRow | undefined][];
  changedPods: [key: string, row: PolicyPodRow | undefined][];
  changedNamespaces: string[];
  policiesChanged: boolean;
}

/**
 * Compiles policies, pods and namespaces to the policy part of the image, which is the same for
 * every node. A new pod of a known kind changes only the list of pods. A change of policies or
 * labels builds the rules again, from remembered selector results. Pure except for this memory.
 */
export class PolicyCompiler {
  readonly #groups = new Groups();
  readonly #ids: PolicyIds;
  #generation: number;
  /** Address -> its pod at the last compile. */
  readonly #owners = new Map<number, PolicyPodRow>();
  /** Address -> its pod in the datapath. */
  #pods: Map<number, Pick<PolicyPod, 'uid' | 'born'> & Partial<PolicyPod>>;
  #rules: Rulebook | null = null;
  #first = true;

  constructor({ generation, pods, names }: PolicySurvivors) {
    this.#generation = generation;
    this.#pods = new Map(pods);
    this.#ids = new PolicyIds(names);
  }

  /** Policies that do not fit, `NS/NAME`. The pods that they select are isolated. */
  get refused(): string[] {
    return this.#rules?.refused ?? [];
  }

  /** The image change for these changes of the tables; null for none. */
  compile(tables: PolicyTables, changes: PolicyChanges): PolicyChange | null {
    return finish(this.compileInSteps(tables, changes));
  }

  /**
   * Compiles in steps what `compile` compiles at once, from the present state of the tables.
   * Changes before the last step belong to the next compile. No other compile may start before the
   * last step.
   */
  compileInSteps(tables: PolicyTables, changes: PolicyChanges): Steps<PolicyChange | null> {
    return this.#compile(snapshotOf(tables, changes));
  }

  *#compile(now: Snapshot): Steps<PolicyChange | null> {
    const relabelled = yield* this.#regroup(now);
    const first = this.#first;
    this.#first = false;
    if (now.policies.length === 0) return this.#deactivate(first);
    const isRebuilt = this.#rules === null || now.policiesChanged || relabelled;
    const book = isRebuilt ? null : this.#rules;
    if (!book) return yield* this.#rebuild(now);
    const touched = yield* this.#touched(now);
    const seen = yield* this.#identify(touched, now.namespaces, book, this.#generation);
    return seen ? this.#update(seen) : yield* this.#rebuild(now);
  }

  /** Addresses whose pods may have changed in the datapath. */
  *#touched({ changedOwners, changedNamespaces }: Snapshot): Steps<Set<number>> {
    const touched = new Set(changedOwners.map(([address]) => address));
    if (changedNamespaces.length === 0) return touched;
    // Pods may have waited for a new namespace.
    const names = new Set(changedNamespaces);
    let looked = 0;
    for (const [address, row] of this.#owners) {
      if (++looked % STEP_ELEMENTS === 0) yield;
      if (names.has(row.namespace)) touched.add(address);
    }
    return touched;
  }

  /** True if new labels of a namespace change the result of a selector. */
  *#regroup(now: Snapshot): Steps<boolean> {
    const { namespaces } = now;
    for (const [key, row] of now.changedPods) {
      if (row) this.#groups.putPod(row, namespaces);
      else this.#groups.deletePod(key);
      yield;
    }
    for (const [address, row] of now.changedOwners) {
      if (row) this.#owners.set(address, row);
      else this.#owners.delete(address);
    }
    let relabelled = false;
    for (const name of now.changedNamespaces) {
      if (yield* this.#groups.askAgain(name, namespaces)) relabelled = true;
    }
    if (now.policiesChanged) {
      yield* this.#groups.setSelectors(selectorsOf(now.policies), namespaces);
    }
    return relabelled;
  }

  #deactivate(first: boolean): PolicyChange | null {
    if (this.#rules === null && !first) return null;
    this.#rules = null;
    this.#pods = new Map();
    this.#ids.assign([]);
    return { generation: ++this.#generation, active: false, pods: null, rules: null };
  }

  /** The change if only pods of known kinds have changed. Null if it is empty. */
  #update(seen: Map<number, PolicyPod | null>): PolicyChange | null {
    const put: PolicyPod[] = [];
    const gone: number[] = [];
    let isRevalidated = false;
    for (const [address, pod] of seen) {
      const was = this.#pods.get(address);
      if (pod ? was && isDeepStrictEqual({ ...was, born: pod.born }, pod) : !was) continue;
      if (was) isRevalidated = true;
      if (pod) put.push(pod);
      else gone.push(address);
    }
    if (put.length === 0 && gone.length === 0) return null;
    if (isRevalidated) this.#generation++;
    for (const pod of put) {
      if (this.#pods.get(pod.address)?.uid !== pod.uid) pod.born = this.#generation;
      this.#pods.set(pod.address, pod);
    }
    for (const address of gone) this.#pods.delete(address);
    const podChanges = { put, gone };
    return { generation: this.#generation, active: true, pods: null, podChanges, rules: null };
  }

  *#rebuild(now: Snapshot): Steps<PolicyChange> {
    // Pods that exist before the first policy count as old, so flows without a policy check go on.
    const born = this.#rules === null && this.#pods.size === 0 ? 0 : this.#generation + 1;
    this.#generation++;
    this.#ids.assign(now.policies.map(({ key }) => key));
    const book = new Rulebook(now.policies, (key) => this.#ids.idOf(key));
    yield* book.plan();
    const all = (yield* this.#identify(this.#owners.keys(), now.namespaces, book, born))!;
    const pods = [...all.values()].filter((pod) => pod !== null);
    const rules = yield* book.build();
    this.#rules = book;
    this.#pods = new Map(pods.map((pod) => [pod.address, pod]));
    return { generation: this.#generation, active: true, pods, rules };
  }

  /**
   * The pods at these addresses, null for an address without one. The whole result is null if the
   * rules do not know a pod's kind. New pods get `born`. A pod is held back until its namespace is
   * known, because a selector may exclude a label of the namespace.
   */
  *#identify(
    addresses: Iterable<number>,
    namespaces: ReadonlyMap<string, NamespaceRow>,
    book: Rulebook,
    born: number,
  ): Steps<Map<number, PolicyPod | null> | null> {
    const pods = new Map<number, PolicyPod | null>();
    for (const address of addresses) {
      if (pods.size % STEP_ELEMENTS === 0) yield;
      const row = this.#owners.get(address);
      if (!row || !namespaces.has(row.namespace)) {
        pods.set(address, null);
        continue;
      }
      const identity = book.identityOf(this.#groups.ofPod(row.key)!);
      if (!identity) return null;
      const uid = hashOf(row);
      const was = this.#pods.get(address);
      const since = was?.uid === uid ? was.born : born;
      pods.set(address, { address, node: row.node, ...identity, born: since, uid });
    }
    return pods;
  }
}

function snapshotOf(tables: PolicyTables, changes: PolicyChanges): Snapshot {
  const { pods, addresses, namespaces, policies } = changes;
  return {
    policies: [...tables.policies.values()],
    namespaces: new Map(tables.namespaces),
    changedOwners: [...addresses].map((address) => [address, tables.ownerOf(address)]),
    changedPods: [...pods].map((key) => [key, tables.pods.get(key)]),
    changedNamespaces: [...namespaces],
    policiesChanged: policies.size > 0,
  };
}

/** All selectors of policies, for their pods and for their peers. */
function selectorsOf(policies: NetworkPolicyRow[]): Map<string, PodSelector> {
  const selectors = new Map<string, PodSelector>();
  for (const policy of policies) {
    const subjects = subjectsOf(policy);
    selectors.set(keyOf(subjects), subjects);
    for (const { pods } of rulesOf(policy)) {
      for (const peer of pods ?? []) {
        const selector = peersOf(policy, peer);
        selectors.set(keyOf(selector), selector);
      }
    }
  }
  return selectors;
}

/** FNV-1a of the pod's key and uid. The uid tells pods with the same name apart. */
function hashOf({ key, uid }: PolicyPodRow): number {
  let hash = 0x811c9dc5 | 0;
  for (const char of `${key} ${uid}`) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  return hash;
}

/**
 * Ids of policies by their keys. Counters and names refer to an id, so it stays as long as its
 * policy.
 */
export class PolicyIds {
  readonly #ids: Map<string, number>;
  #free: number[] = [];
  #next: number;

  /** @param names policies by id in an image that a previous agent left. */
  constructor(names: Map<number, string>) {
    this.#ids = new Map([...names].map(([id, name]) => [name, id]));
    this.#next = Math.max(0, ...names.keys()) + 1;
    for (let id = 1; id < this.#next; id++) if (!names.has(id)) this.#free.push(id);
  }

  /** Gives each present policy an id while there are free ones. */
  assign(keys: Iterable<string>): void {
    const present = new Set(keys);
    const freed: number[] = [];
    for (const [key, id] of this.#ids) {
      if (present.has(key)) continue;
      this.#ids.delete(key);
      freed.push(id);
    }
    for (const key of present) {
      if (this.#ids.has(key)) continue;
      const id = this.#free.shift() ?? (this.#next <= POLICY_ID_MAX ? this.#next++ : 0);
      if (id !== 0) this.#ids.set(key, id);
    }
    // Not reused at once: trace records may still name the policy that had it.
    this.#free.push(...freed);
  }

  /** 0 if all ids are taken. */
  idOf(key: string): number {
    return this.#ids.get(key) ?? 0;
  }
}
