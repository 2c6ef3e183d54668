// The policy part of the image: NetworkPolicies, pods and namespaces, compiled by the control
// plane. This file holds its types; layout.ts has the place of each word.
//
// A pod has a subject in each direction: the id of the set of policies that select it. It has a
// peer class: the id of the set of rule peers that match it. An address has the peer class of its
// longest prefix. A policy check looks up (subject, peer class) and finds the ports that some rule
// allows. A new flow costs at most four such look-ups per direction, for any number of policies.

import { POLICY_IDS } from '../arena/layout.ts';
import type { Address } from '../wire/address.ts';

/** Any peer: a rule without `from` or `to`. */
export const PEER_ANY = 1;
/** Every pod of the cluster. */
export const PEER_ANY_POD = 2;
/** Ids of peer classes, of pods and of prefixes alike, start here. */
export const PEER_FIRST = 3;

/**
 * Policies have ids from 1 to this, for names and counters. A policy without an id has 0 and is
 * enforced as well.
 */
export const POLICY_ID_MAX = POLICY_IDS - 1;

/** A pod with an address in the pod network. */
export interface PolicyPod {
  /** int32 in host order, as all addresses. */
  address: Address;
  /** Address of its node, which may always reach it; 0 if unknown. */
  node: number;
  /** Subject for ingress; 0 if no policy of this direction selects the pod. */
  ingress: number;
  /** Subject for egress. */
  egress: number;
  /** Its peer class. */
  peer: number;
  /**
   * The policy generation since which this pod has the address; 0 for always. Flows with an older
   * check are another pod's.
   */
  born: number;
  /** Hash of its uid: shows the next agent whether it is the same pod. */
  uid: number;
}

/** Policies of one direction that select the same pods, and whose named ports mean the same. */
export interface PolicySubject {
  /** From 1 up, without large gaps; for one direction. */
  id: number;
  /** Ids of the policies in force; if empty, everything is allowed. */
  enforced: number[];
  /** Ids of audited policies, which only count what they would drop. */
  audited: number[];
}

/** Ports that a rule allows. */
export interface PolicyPorts {
  /** PROTO_TCP, PROTO_UDP or PROTO_SCTP; 0 for every protocol, with or without ports. */
  proto: number;
  /** Both inclusive; 0 to 65535 for all. */
  first: number;
  last: number;
  /** Id of the policy, and the index of the rule among its ingress or egress rules. */
  policy: number;
  rule: number;
  /** The policy is audited: the rule allows nothing, and shows what it would allow. */
  audited: boolean;
}

/** Ports that a subject's policies allow from or to a peer class. */
export interface PolicyPair {
  subject: number;
  peer: number;
  /** Index into `portSets`. */
  ports: number;
}

/** Addresses with this longest prefix have the peer class. */
export interface PolicyPrefix {
  address: Address;
  /** Bits, 0 to 32. */
  length: number;
  peer: number;
}

export interface PolicyRules {
  subjects: PolicySubject[];
  pairs: PolicyPair[];
  /** Entries of a set may overlap, in any order: one in force precedes an audited one. */
  portSets: PolicyPorts[][];
  prefixes: PolicyPrefix[];
  /** `NS/NAME` of each policy that has an id. */
  names: { id: number; name: string }[];
}

/** What one publish changes of the policy part. */
export interface PolicyChange {
  /**
   * Grows when flows must be revalidated: rules have changed, or a pod is gone or has another
   * subject or class. A new pod on a free address does not need it, because no flow of such an
   * address is allowed.
   */
  generation: number;
  /** False if there is no NetworkPolicy: everything is allowed; `pods` and `rules` are not read. */
  active: boolean;
  /** All pods of the cluster, one per address; null changes only `podChanges`. */
  pods: PolicyPod[] | null;
  /** With `pods` null: new or changed pods, and addresses without a pod now. */
  podChanges?: { put: PolicyPod[]; gone: number[] };
  /** All rules; null leaves them as they are. */
  rules: PolicyRules | null;
  /** The rules as words, if they are encoded already. */
  encoded?: Int32Array;
}
