// Turns policies and groups of pods into the datapath's rules: subjects, peer classes, and the
// ports that each subject allows to each class.
import {
  PEER_ANY,
  PEER_ANY_POD,
  PEER_FIRST,
  type PolicyPair,
  type PolicyPorts,
  type PolicyRules,
  type PolicySubject,
} from '../../datapath/policy/policy.ts';
import type { Steps } from '../../datapath/steps.ts';
import type { NamedPort, NetworkPolicyRow, PolicyRuleRow } from '../model/policy-rows.ts';
import type { Group } from './groups.ts';
import { classifyPrefixes, type PrefixClasses } from './prefixes.ts';
import {
  keyOf,
  namesIn,
  planOf,
  portsOf,
  type RulePlan,
  rulesOf,
  subjectsOf,
} from './rule-plan.ts';

type Direction = 'ingress' | 'egress';

/** The identity of a group's pods in the datapath. */
export interface Identity {
  ingress: number;
  egress: number;
  peer: number;
}

interface Subject extends PolicySubject {
  direction: Direction;
  policies: NetworkPolicyRow[];
  /** Ports of the pods themselves, which ingress rules may name. */
  ports: NamedPort[];
}

interface PeerClass {
  id: number;
  chosenBy: Set<string>;
  /** Ports of its pods, which egress rules may name. */
  ports: NamedPort[];
}

/** Limit for the image words of all rules: about 12 for each entry. */
const ENTRIES_MAX = 262_144;

/**
 * The rules for a fixed set of policies. A later group gets an identity only if an equal one
 * exists.
 */
export class Rulebook {
  /** Policies that do not fit, `NS/NAME`. They isolate their pods and allow nothing. */
  refused: string[] = [];
  readonly #policies: NetworkPolicyRow[];
  readonly #idOf: (key: string) => number;
  readonly #entriesMax: number;
  /** Key of the selector -> policies that apply to its pods. */
  readonly #bySubject = new Map<string, NetworkPolicyRow[]>();
  readonly #plans = new Map<PolicyRuleRow, RulePlan>();
  /** Port names in a policy's ingress rules. */
  readonly #ingressNames = new Map<NetworkPolicyRow, string[]>();
  /** Keys of peer selectors, and port names in egress rules. */
  readonly #peerKeys = new Set<string>();
  readonly #egressNames = new Set<string>();
  readonly #subjects = new Map<string, Subject>();
  readonly #classes = new Map<string, PeerClass>();
  readonly #identities = new WeakMap<Group, Identity>();
  #nextClass = PEER_FIRST;
  #sealed = false;

  /**
   * @param idOf the id of a policy by its key, 0 if all ids are taken.
   * @param entriesMax limit for prefixes, and for ports of all pairs of subject and peer class.
   */
  constructor(
    policies: Iterable<NetworkPolicyRow>,
    idOf: (key: string) => number,
    entriesMax = ENTRIES_MAX,
  ) {
    this.#policies = [...policies].sort((a, b) => (a.key < b.key ? -1 : 1));
    this.#idOf = idOf;
    this.#entriesMax = entriesMax;
  }

  /** Reads the policies. Must be called first, and once. */
  *plan(): Steps<void> {
    for (const policy of this.#policies) {
      const key = keyOf(subjectsOf(policy));
      const list = this.#bySubject.get(key);
      if (list) list.push(policy);
      else this.#bySubject.set(key, [policy]);
      for (const rule of rulesOf(policy)) {
        const plan = planOf(policy, rule);
        this.#plans.set(rule, plan);
        for (const peer of plan.keys ?? []) this.#peerKeys.add(peer);
        yield;
      }
      this.#ingressNames.set(policy, namesIn(policy.ingress));
      for (const name of namesIn(policy.egress)) this.#egressNames.add(name);
    }
  }

  /** The identity of a group's pods. Null if the rules lack it and must be built again. */
  identityOf(group: Group): Identity | null {
    const known = this.#identities.get(group);
    if (known) return known;
    const ingress = this.#subjectOf(group, 'ingress');
    const egress = this.#subjectOf(group, 'egress');
    const peer = this.#classOf(group);
    if (ingress === null || egress === null || peer === null) return null;
    const identity = { ingress, egress, peer };
    this.#identities.set(group, identity);
    return identity;
  }

  /** The rules for all groups so far. After this call no subject or class is added. */
  *build(): Steps<PolicyRules> {
    this.#sealed = true;
    const byKey = this.#classesByKey();
    const all = yield* classifyPrefixes(this.#policies.flatMap(rulesOf), this.#nextClass);
    const served = yield* this.#served(byKey, all);
    const classes =
      this.refused.length === 0
        ? all
        : yield* classifyPrefixes([...served].flatMap(rulesOf), this.#nextClass);
    this.#nextClass += classes.count;
    const pairs: PolicyPair[] = [];
    const portSets: PolicyPorts[][] = [];
    const setIds = new Map<string, number>();
    for (const subject of this.#subjects.values()) {
      for (const [peer, ports] of yield* this.#allowedBy(subject, served, byKey, classes)) {
        yield;
        const key = JSON.stringify(ports);
        const id = setIds.get(key) ?? setIds.set(key, portSets.push(ports) - 1).get(key)!;
        pairs.push({ subject: subject.id, peer, ports: id });
      }
    }
    const subjects = [...this.#subjects.values()].map(({ id, enforced, audited }) => ({
      ...{ id, enforced, audited },
    }));
    const names = this.#policies
      .map(({ key }) => ({ id: this.#idOf(key), name: key }))
      .filter(({ id }) => id !== 0);
    return { subjects, pairs, portSets, prefixes: classes.prefixes, names };
  }

  /** The subject for the policies of a direction that select a group's pods. 0 for none. */
  #subjectOf(group: Group, direction: Direction): number | null {
    const policies: NetworkPolicyRow[] = [];
    for (const key of group.chosenBy) {
      for (const policy of this.#bySubject.get(key) ?? []) {
        if (policy[direction]) policies.push(policy);
      }
    }
    if (policies.length === 0) return 0;
    policies.sort((a, b) => (a.key < b.key ? -1 : 1));
    const asked = direction === 'ingress' ? policies : [];
    const names = new Set(asked.flatMap((policy) => this.#ingressNames.get(policy)!));
    const ports = group.ports.filter(({ name }) => names.has(name));
    const key = JSON.stringify([direction, policies.map((policy) => policy.key), ports]);
    const known = this.#subjects.get(key);
    if (known) return known.id;
    if (this.#sealed) return null;
    const idsOf = (audited: boolean) =>
      policies.filter((p) => p.audited === audited).map((p) => this.#idOf(p.key));
    const id = this.#subjects.size + 1;
    const [enforced, audited] = [idsOf(false), idsOf(true)];
    this.#subjects.set(key, { id, enforced, audited, direction, policies, ports });
    return id;
  }

  #classOf(group: Group): number | null {
    const chosenBy = [...group.chosenBy].filter((key) => this.#peerKeys.has(key)).sort();
    const ports = group.ports.filter(({ name }) => this.#egressNames.has(name));
    const key = JSON.stringify([chosenBy, ports]);
    const known = this.#classes.get(key);
    if (known) return known.id;
    if (this.#sealed) return null;
    const id = this.#nextClass++;
    this.#classes.set(key, { id, chosenBy: new Set(chosenBy), ports });
    return id;
  }

  /** Policies whose rules fit, oldest first. The others go to `refused`. */
  *#served(
    byKey: Map<string, PeerClass[]>,
    classes: PrefixClasses<PolicyRuleRow>,
  ): Steps<Set<NetworkPolicyRow>> {
    const subjects = new Map<NetworkPolicyRow[Direction], number>();
    for (const { direction, policies } of this.#subjects.values()) {
      for (const policy of policies) {
        subjects.set(policy[direction], (subjects.get(policy[direction]) ?? 0) + 1);
      }
    }
    const served = new Set<NetworkPolicyRow>();
    let left = this.#entriesMax;
    const byAge = [...this.#policies].sort((a, b) => a.createdMs - b.createdMs);
    for (const policy of byAge) {
      let price = 0;
      for (const rules of [policy.ingress, policy.egress]) {
        const times = subjects.get(rules) ?? 0;
        for (const rule of rules ?? []) {
          price += this.#priceOf(rule, times, byKey, classes);
          yield;
        }
      }
      if (price > left) continue;
      left -= price;
      served.add(policy);
    }
    this.refused = this.#policies.filter((p) => !served.has(p)).map(({ key }) => key);
    return served;
  }

  /**
   * Upper bound of a rule's entries, computed without building it. `times` subjects hold the rule.
   */
  #priceOf(
    rule: PolicyRuleRow,
    times: number,
    byKey: Map<string, PeerClass[]>,
    classes: PrefixClasses<PolicyRuleRow>,
  ): number {
    const { keys, everyPod, named } = this.#plans.get(rule)!;
    let peers = classes.sizeOf(rule);
    if (keys === null || everyPod) peers += named ? this.#classes.size + 1 : 1;
    for (const key of keys ?? []) peers += byKey.get(key)?.length ?? 0;
    let prefixes = 0;
    for (const { except } of rule.blocks) prefixes += 1 + except.length;
    return prefixes + times * (1 + peers * Math.max(1, rule.ports?.length ?? 1));
  }

  /** Selector's key -> classes whose pods it selects. */
  #classesByKey(): Map<string, PeerClass[]> {
    const byKey = new Map<string, PeerClass[]>();
    for (const peerClass of this.#classes.values()) {
      for (const key of peerClass.chosenBy) {
        const classes = byKey.get(key);
        if (classes) classes.push(peerClass);
        else byKey.set(key, [peerClass]);
      }
    }
    return byKey;
  }

  /** Peer class -> ports that the subject's policies allow. */
  *#allowedBy(
    { direction, policies, ports: own }: Subject,
    served: Set<NetworkPolicyRow>,
    byKey: Map<string, PeerClass[]>,
    classes: PrefixClasses<PolicyRuleRow>,
  ): Steps<Map<number, PolicyPorts[]>> {
    const allowed = new Map<number, PolicyPorts[]>();
    for (const policy of policies) {
      if (!served.has(policy)) continue;
      for (const [index, rule] of policy[direction]!.entries()) {
        const stamp = { policy: this.#idOf(policy.key), rule: index, audited: policy.audited };
        const allow = (peer: number, named: NamedPort[] | null) => {
          const list = allowed.get(peer) ?? [];
          for (const range of portsOf(rule, direction === 'ingress' ? own : named)) {
            list.push({ ...range, ...stamp });
          }
          if (list.length > 0) allowed.set(peer, list);
        };
        this.#allowPeers(rule, direction, byKey, allow);
        for (const peer of classes.classesOf(rule)) allow(peer, null);
        yield;
      }
    }
    return allowed;
  }

  #allowPeers(
    rule: PolicyRuleRow,
    direction: Direction,
    byKey: Map<string, PeerClass[]>,
    allow: (peer: number, named: NamedPort[] | null) => void,
  ): void {
    const { keys, everyPod, named } = this.#plans.get(rule)!;
    // A port name in an egress rule can resolve to another number for each class of destinations.
    const byClass = direction === 'egress' && named;
    if (keys === null) allow(PEER_ANY, null);
    else if (everyPod && !byClass) allow(PEER_ANY_POD, null);
    if (byClass && (keys === null || everyPod)) {
      for (const { id, ports } of this.#classes.values()) allow(id, ports);
      return;
    }
    for (const key of keys ?? []) {
      for (const { id, ports } of byKey.get(key) ?? []) allow(id, ports);
    }
  }
}
