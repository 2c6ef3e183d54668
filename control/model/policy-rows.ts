// What the agent keeps for NetworkPolicy: compact rows, made of API objects on arrival. Addresses
// are int32 in host order; IPv6 is left out.
import type { LabelSelector } from './label-selector.ts';

export type Labels = Record<string, string>;

/** A container's port that has a name. */
export interface NamedPort {
  name: string;
  /** PROTO_*. */
  proto: number;
  number: number;
}

/** A pod with an address of its own. */
export interface PolicyPodRow {
  /** `namespace/name`. */
  key: string;
  namespace: string;
  uid: string;
  address: number;
  /** Address of its node, 0 if it is not known. */
  node: number;
  /** It is being deleted; its policies are in force until it has gone. */
  ending: boolean;
  labels: Labels;
  ports: NamedPort[];
}

export interface NamespaceRow {
  name: string;
  labels: Labels;
}

/** Ports of a rule: a range of numbers, or a name that each destination has its own number for. */
export interface PolicyPortRow {
  /** PROTO_*. */
  proto: number;
  /** Null for numbers. */
  name: string | null;
  first: number;
  last: number;
}

/** Addresses of an ipBlock. */
export interface PrefixRow {
  address: number;
  /** Bits, 0 to 32. */
  length: number;
}

export interface PodPeerRow {
  /** Null: the policy's own namespace. */
  namespaces: LabelSelector | null;
  pods: LabelSelector;
}

export interface BlockPeerRow {
  cidr: PrefixRow;
  except: PrefixRow[];
}

export interface PolicyRuleRow {
  /** Null for everyone. */
  pods: PodPeerRow[] | null;
  /** Beside the pods. */
  blocks: BlockPeerRow[];
  /** Null for every port of every protocol. */
  ports: PolicyPortRow[] | null;
}

export interface NetworkPolicyRow {
  /** `namespace/name`. */
  key: string;
  namespace: string;
  /** Creation time in ms: of policies that do not fit together the older ones are in force. */
  createdMs: number;
  selector: LabelSelector;
  /** It isolates nobody, and says what it would drop. */
  audited: boolean;
  /** Rules in their order; null if the policy is not one of that direction. */
  ingress: PolicyRuleRow[] | null;
  egress: PolicyRuleRow[] | null;
}
