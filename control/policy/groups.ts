// Pods with the same namespace, labels and named ports form a group. Selectors are evaluated once
// for a group, not for each pod.
import type { Steps } from '../../datapath/steps.ts';
import type { Labels, NamedPort, NamespaceRow, PolicyPodRow } from '../model/policy-rows.ts';
import { type PodSelector, selectsPod } from './rule-plan.ts';

type Namespaces = ReadonlyMap<string, NamespaceRow>;

export interface Group {
  namespace: string;
  labels: Labels;
  ports: NamedPort[];
  /** Keys of the selectors that select its pods. */
  chosenBy: Set<string>;
  pods: number;
}

/** Which selectors select which pods, updated when either changes. */
export class Groups {
  readonly all = new Map<string, Group>();
  readonly #selectors = new Map<string, PodSelector>();
  /** Pod key -> its group's key. */
  readonly #groupOf = new Map<string, string>();

  ofPod(key: string): Group | undefined {
    return this.all.get(this.#groupOf.get(key) ?? '');
  }

  /** Replaces the selectors by the present ones of the policies. */
  *setSelectors(selectors: Map<string, PodSelector>, namespaces: Namespaces): Steps<void> {
    for (const key of this.#selectors.keys()) {
      if (selectors.has(key)) continue;
      this.#selectors.delete(key);
      for (const group of this.all.values()) group.chosenBy.delete(key);
      yield;
    }
    for (const [key, selector] of selectors) {
      if (this.#selectors.has(key)) continue;
      this.#selectors.set(key, selector);
      for (const group of this.all.values()) ask(group, key, selector, namespaces);
      yield;
    }
  }

  /**
   * Evaluates every selector again for a namespace with changed labels. True if a result differs.
   */
  *askAgain(name: string, namespaces: Namespaces): Steps<boolean> {
    let changed = false;
    for (const group of this.all.values()) {
      if (group.namespace !== name) continue;
      const before = [...group.chosenBy].join();
      for (const [key, selector] of this.#selectors) ask(group, key, selector, namespaces);
      changed ||= [...group.chosenBy].join() !== before;
      yield;
    }
    return changed;
  }

  putPod(row: PolicyPodRow, namespaces: Namespaces): void {
    const key = JSON.stringify([row.namespace, Object.entries(row.labels).sort(), row.ports]);
    if (this.#groupOf.get(row.key) === key) return;
    this.deletePod(row.key);
    let group = this.all.get(key);
    if (!group) {
      const { namespace, labels, ports } = row;
      group = { namespace, labels, ports, chosenBy: new Set(), pods: 0 };
      for (const [name, selector] of this.#selectors) ask(group, name, selector, namespaces);
      this.all.set(key, group);
    }
    group.pods++;
    this.#groupOf.set(row.key, key);
  }

  deletePod(key: string): void {
    const groupKey = this.#groupOf.get(key);
    const group = this.all.get(groupKey ?? '');
    if (!group) return;
    this.#groupOf.delete(key);
    if (--group.pods === 0) this.all.delete(groupKey!);
  }
}

function ask(group: Group, key: string, selector: PodSelector, known: Namespaces): void {
  if (selectsPod(selector, group, known)) group.chosenBy.add(key);
  else group.chosenBy.delete(key);
}
