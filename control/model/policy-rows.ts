// Compact rows for NetworkPolicies, made from API objects on arrival. Addresses are int32 in host
// order, without IPv6.
import type { PolicyPrefix } from '../../datapath/policy/policy.ts';
import type { LabelSelector } from './label-selector.ts';
import type { PortRow } from './rows.ts';

export type Labels = Record<string, string>;

/** A port of a container that has a name. */
export type NamedPort = PortRow;

/** A pod with its own address. */
export interface PolicyPodRow {
  /** `namespace/name`. */
  key: string;
  namespace: string;
  uid: string;
  address: number;
  /** Address of its node, 0 if unknown. */
  node: number;
  /** The pod is in deletion. Its policies apply until it is gone. */
  ending: boolean;
  labels: Labels;
  ports: NamedPort[];
}

export interface NamespaceRow {
  name: string;
  labels: Labels;
}

/** Ports of a rule: a range of numbers, or a name that each destination resolves. */
export interface PolicyPortRow {
  /** PROTO_*. */
  proto: number;
  /** Null for numbers. */
  name: string | null;
  first: number;
  last: number;
}

/** Addresses of an ipBlock. */
export type PrefixRow = Omit<PolicyPrefix, 'peer'>;

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
  /** Null if the rule allows all peers. */
  pods: PodPeerRow[] | null;
  /** Blocks that are allowed in addition to the pods. */
  blocks: BlockPeerRow[];
  /** Null for every port of every protocol. */
  ports: PolicyPortRow[] | null;
}

export interface NetworkPolicyRow {
  /** `namespace/name`. */
  key: string;
  namespace: string;
  /** Creation time in ms. If not all policies fit, the older ones apply. */
  createdMs: number;
  selector: LabelSelector;
  /** The policy drops nothing and reports what it would drop. */
  audited: boolean;
  /** Rules in order. Null if the policy does not apply to the direction. */
  ingress: PolicyRuleRow[] | null;
  egress: PolicyRuleRow[] | null;
}
