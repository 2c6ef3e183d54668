// Policies and groups of pods as the datapath's rules: subjects, peer classes, and what each subject allows each class.
import {
  PEER_ANY,
  PEER_ANY_POD,
  PEER_FIRST,
  type PolicyPair,
  type PolicyPorts,
  type PolicyRules,
  type PolicySubject,
} from '../../datapath/policy/policy.ts';
import type {
  BlockPeerRow,
  NamedPort,
  NetworkPolicyRow,
  PolicyPortRow,
  PolicyRuleRow,
} from '../model/policy-rows.ts';
import type { Group } from './groups.ts';
import { choosesAll, keyOf, peersOf, subjectsOf } from './pod-selector.ts';
import { blockKey, classifyPrefixes } from './prefixes.ts';

type Direction = 'ingress' | 'egress';

/** What a pod of a group is to the datapath. */
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

const EVERY_PORT = { proto: 0, first: 0, last: 65_535 };

/**
 * The rules that hold for certain policies, as long as these do not change. Groups that come later get an identity if it is
 * one that there is already.
 */
export class Rulebook {
  readonly #policies: NetworkPolicyRow[];
  readonly #idOf: (key: string) => number;
  /** Key of the selector -> policies whose pods it chooses. */
  readonly #bySubject = new Map<string, NetworkPolicyRow[]>();
  /** Keys of selectors that are peers; names that egress rules have for ports. */
  readonly #peerKeys = new Set<string>();
  readonly #egressNames = new Set<string>();
  readonly #subjects = new Map<string, Subject>();
  readonly #classes = new Map<string, PeerClass>();
  readonly #identities = new WeakMap<Group, Identity>();
  #nextClass = PEER_FIRST;
  #sealed = false;

  /** @param idOf the id of a policy by its key, 0 if there was none left. */
  constructor(policies: Iterable<NetworkPolicyRow>, idOf: (key: string) => number) {
    this.#policies = [...policies].sort((a, b) => (a.key < b.key ? -1 : 1));
    this.#idOf = idOf;
    for (const policy of this.#policies) {
      const key = keyOf(subjectsOf(policy));
      this.#bySubject.set(key, [...(this.#bySubject.get(key) ?? []), policy]);
      for (const { pods } of [...(policy.ingress ?? []), ...(policy.egress ?? [])]) {
        for (const peer of pods ?? []) this.#peerKeys.add(keyOf(peersOf(policy, peer)));
      }
      for (const name of namesIn(policy.egress)) this.#egressNames.add(name);
    }
  }

  /** What a group's pods are; null if the rules were made without such a one, and must be made again. */
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

  /** The rules for all groups that were asked about. No new subjects and classes come after. */
  build(): PolicyRules {
    this.#sealed = true;
    const { prefixes, classesOf } = classifyPrefixes(this.#blocks(), () => this.#nextClass++);
    const pairs: PolicyPair[] = [];
    const portSets: PolicyPorts[][] = [];
    const setIds = new Map<string, number>();
    const byKey = this.#classesByKey();
    for (const subject of this.#subjects.values()) {
      for (const [peer, ports] of this.#allowedBy(subject, byKey, classesOf)) {
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
    return { subjects, pairs, portSets, prefixes, names };
  }

  /** The subject that stands for the policies of a direction that are for a group's pods; 0 for none. */
  #subjectOf(group: Group, direction: Direction): number | null {
    const policies: NetworkPolicyRow[] = [];
    for (const key of group.chosenBy) {
      for (const policy of this.#bySubject.get(key) ?? []) {
        if (policy[direction]) policies.push(policy);
      }
    }
    if (policies.length === 0) return 0;
    policies.sort((a, b) => (a.key < b.key ? -1 : 1));
    const names =
      direction === 'ingress' ? policies.flatMap(({ ingress }) => namesIn(ingress)) : [];
    const ports = group.ports.filter(({ name }) => names.includes(name));
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

  #blocks(): Map<string, BlockPeerRow> {
    const blocks = new Map<string, BlockPeerRow>();
    for (const { ingress, egress } of this.#policies) {
      for (const rule of [...(ingress ?? []), ...(egress ?? [])]) {
        for (const block of rule.blocks) blocks.set(blockKey(block), block);
      }
    }
    return blocks;
  }

  /** Selector's key -> classes whose pods it chooses. */
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
  #allowedBy(
    { direction, policies, ports: own }: Subject,
    byKey: Map<string, PeerClass[]>,
    classesOf: Map<string, number[]>,
  ): Map<number, PolicyPorts[]> {
    const allowed = new Map<number, PolicyPorts[]>();
    for (const policy of policies) {
      for (const [index, rule] of policy[direction]!.entries()) {
        const stamp = { policy: this.#idOf(policy.key), rule: index, audited: policy.audited };
        const allow = (peer: number, named: NamedPort[] | null) => {
          const ports = portsOf(rule, direction === 'ingress' ? own : named);
          if (ports.length === 0) return;
          const list = allowed.get(peer) ?? [];
          allowed.set(peer, list);
          list.push(...ports.map((range) => ({ ...range, ...stamp })));
        };
        this.#allowPeers(policy, rule, direction, byKey, allow);
        for (const block of rule.blocks) {
          for (const peer of classesOf.get(blockKey(block)) ?? []) allow(peer, null);
        }
      }
    }
    return allowed;
  }

  #allowPeers(
    policy: NetworkPolicyRow,
    rule: PolicyRuleRow,
    direction: Direction,
    byKey: Map<string, PeerClass[]>,
    allow: (peer: number, named: NamedPort[] | null) => void,
  ): void {
    // A name in an egress rule means another number to each class of destinations.
    const named = direction === 'egress' && namesIn([rule]).length > 0;
    const everyClass = () => {
      for (const { id, ports } of this.#classes.values()) allow(id, ports);
    };
    if (rule.pods === null) {
      allow(PEER_ANY, null);
      if (named) everyClass();
      return;
    }
    for (const peer of rule.pods) {
      const selector = peersOf(policy, peer);
      if (!choosesAll(selector)) {
        for (const { id, ports } of byKey.get(keyOf(selector)) ?? []) allow(id, ports);
      } else if (named) everyClass();
      else allow(PEER_ANY_POD, null);
    }
  }
}

/** Names that rules have for ports. */
function namesIn(rules: PolicyRuleRow[] | null): string[] {
  const names = (rules ?? []).flatMap(({ ports }) => (ports ?? []).map(({ name }) => name));
  return names.filter((name) => name !== null);
}

/** Ranges that a rule allows; a name counts as often as the destination has it, and not where there is none to ask. */
function portsOf(
  { ports }: PolicyRuleRow,
  named: NamedPort[] | null,
): Pick<PolicyPorts, 'proto' | 'first' | 'last'>[] {
  if (ports === null) return [EVERY_PORT];
  return ports.flatMap(({ name, proto, first, last }: PolicyPortRow) => {
    if (name === null) return [{ proto, first, last }];
    const own = (named ?? []).filter((port) => port.name === name && port.proto === proto);
    return own.map(({ number }) => ({ proto, first: number, last: number }));
  });
}
