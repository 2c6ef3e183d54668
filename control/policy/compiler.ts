import type { PolicyChange, PolicyPod } from '../../datapath/policy/policy.ts';
import type { PolicySurvivors } from '../../datapath/policy/policy-reader.ts';
import type { PolicyPodRow } from '../model/policy-rows.ts';
import type { PolicyChanges, PolicyTables } from '../model/policy-tables.ts';
import { Groups } from './groups.ts';
import { PolicyIds } from './ids.ts';
import { keyOf, type PodSelector, peersOf, subjectsOf } from './pod-selector.ts';
import { Rulebook } from './rules.ts';

/**
 * Policies, pods and namespaces in, the policy part of the image out; it is the same for every node. A new pod of a known
 * kind changes the list of pods alone; a change of policies or labels makes the rules anew, from selectors that were
 * asked before. Pure but for what it remembers.
 */
export class PolicyCompiler {
  readonly #groups = new Groups();
  readonly #ids: PolicyIds;
  #generation: number;
  /** Address -> what the datapath was told of its pod. */
  #pods: Map<number, Pick<PolicyPod, 'uid' | 'born'> & Partial<PolicyPod>>;
  #rules: Rulebook | null = null;
  #first = true;

  constructor({ generation, pods, names }: PolicySurvivors) {
    this.#generation = generation;
    this.#pods = new Map(pods);
    this.#ids = new PolicyIds(names);
  }

  /** Policies in force that did not fit, `NS/NAME`: the pods that they select are isolated. */
  get refused(): string[] {
    return this.#rules?.refused ?? [];
  }

  /** What these changes of the tables change in the image; null if nothing. */
  compile(tables: PolicyTables, changes: PolicyChanges): PolicyChange | null {
    const relabelled = this.#regroup(tables, changes);
    const first = this.#first;
    this.#first = false;
    if (tables.policies.size === 0) return this.#deactivate(first);
    const anew = this.#rules === null || changes.policies.size > 0 || relabelled;
    // A namespace that is new may have been what its pods waited for.
    if (!anew && changes.pods.size === 0 && changes.namespaces.size === 0) return null;
    const book = anew ? null : this.#rules;
    const known = book && this.#identify(tables, book, this.#generation);
    return known ? this.#update(known) : this.#rebuild(tables);
  }

  /** True if a namespace's new labels make its pods others. */
  #regroup(tables: PolicyTables, { pods, namespaces, policies }: PolicyChanges): boolean {
    for (const key of pods) {
      const row = tables.pods.get(key);
      if (row) this.#groups.putPod(row, tables);
      else this.#groups.deletePod(key);
    }
    const relabelled = [...namespaces].map((name) => this.#groups.askAgain(name, tables));
    if (policies.size > 0) this.#groups.setSelectors(selectorsOf(tables), tables);
    return relabelled.includes(true);
  }

  #deactivate(first: boolean): PolicyChange | null {
    if (this.#rules === null && !first) return null;
    this.#rules = null;
    this.#pods = new Map();
    this.#ids.assign([]);
    return { generation: ++this.#generation, active: false, pods: null, rules: null };
  }

  /** Pods alone have changed, and all are of known kinds; null if what they are to the datapath has not. */
  #update(known: Map<number, PolicyPod>): PolicyChange | null {
    const changed = [...this.#pods].some(([address, was]) => !isSame(was, known.get(address)));
    const same = !changed && known.size === this.#pods.size;
    if (same) return null;
    if (!changed) return this.#tell(known, null);
    this.#generation++;
    for (const [address, pod] of known) {
      if (this.#pods.get(address)?.uid !== pod.uid) pod.born = this.#generation;
    }
    return this.#tell(known, null);
  }

  #rebuild(tables: PolicyTables): PolicyChange {
    // With the first policy every pod that is there has been there for ever: flows without a judgement go on.
    const born = this.#rules === null && this.#pods.size === 0 ? 0 : this.#generation + 1;
    this.#generation++;
    this.#ids.assign(tables.policies.keys());
    const book = new Rulebook(tables.policies.values(), (key) => this.#ids.idOf(key));
    this.#rules = book;
    const pods = this.#identify(tables, book, born)!;
    return this.#tell(pods, book);
  }

  #tell(pods: Map<number, PolicyPod>, book: Rulebook | null): PolicyChange {
    this.#pods = pods;
    const rules = book?.build() ?? null;
    return { generation: this.#generation, active: true, pods: [...pods.values()], rules };
  }

  /**
   * Every pod by its address; null if the rules do not know one of its kind. `born` is for pods that are new. One whose
   * namespace is not known yet is held back: a selector may ask for a label that is not there.
   */
  #identify(tables: PolicyTables, book: Rulebook, born: number): Map<number, PolicyPod> | null {
    const pods = new Map<number, PolicyPod>();
    for (const row of ownersOf(tables).values()) {
      if (!tables.namespaces.has(row.namespace)) continue;
      const identity = book.identityOf(this.#groups.ofPod(row.key)!);
      if (!identity) return null;
      const { address, node } = row;
      const uid = hashOf(row);
      const was = this.#pods.get(address);
      const since = was?.uid === uid ? was.born : born;
      pods.set(address, { address, node, ...identity, born: since, uid });
    }
    return pods;
  }
}

/** Who has each address: the last to claim it, and a pod that ends only if no other one does. */
function ownersOf(tables: PolicyTables): Map<number, PolicyPodRow> {
  const owners = new Map<number, PolicyPodRow>();
  for (const row of tables.pods.values()) {
    const isLeft = row.ending && owners.get(row.address)?.ending === false;
    if (!isLeft) owners.set(row.address, row);
  }
  return owners;
}

/** Every selector that a policy has for its pods or for its peers. */
function selectorsOf(tables: PolicyTables): Map<string, PodSelector> {
  const selectors = new Map<string, PodSelector>();
  for (const policy of tables.policies.values()) {
    const subjects = subjectsOf(policy);
    selectors.set(keyOf(subjects), subjects);
    for (const { pods } of [...(policy.ingress ?? []), ...(policy.egress ?? [])]) {
      for (const peer of pods ?? []) {
        const selector = peersOf(policy, peer);
        selectors.set(keyOf(selector), selector);
      }
    }
  }
  return selectors;
}

function isSame(a: Partial<PolicyPod>, b: PolicyPod | undefined): boolean {
  return (
    b !== undefined &&
    a.uid === b.uid &&
    a.node === b.node &&
    a.ingress === b.ingress &&
    a.egress === b.egress &&
    a.peer === b.peer
  );
}

/** FNV-1a of what tells this pod from another one of its name. */
function hashOf({ key, uid }: PolicyPodRow): number {
  let hash = 0x811c9dc5 | 0;
  for (const char of `${key} ${uid}`) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  return hash;
}
