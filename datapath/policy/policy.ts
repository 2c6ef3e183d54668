// The policy part of the image: what the control plane makes of NetworkPolicies, pods and
// namespaces for the datapath. This file holds its vocabulary; layout.ts says where each word lies.
//
// A pod has a subject in each direction, which stands for the set of policies that select it, and a
// peer class, which stands for the set of peers of rules that it belongs to. An address has a peer
// class by its longest prefix. Who may talk to whom is a look-up of (subject, peer class): the
// ports that some rule allows. However many policies there are, a new flow costs at most four such
// look-ups a direction.

import { POLICY_IDS } from '../arena/layout.ts';
import type { Address } from '../wire/address.ts';

/** A peer without conditions: a rule without `from` or `to`. */
export const PEER_ANY = 1;
/** Every pod of the cluster. */
export const PEER_ANY_POD = 2;
/** Peer classes of pods and of prefixes share one space of ids, from here up. */
export const PEER_FIRST = 3;

/**
 * Policies have ids from 1 to this, for names and counters; a policy that got none has 0 and is
 * enforced all the same.
 */
export const POLICY_ID_MAX = POLICY_IDS - 1;

/** A pod that has an address of its own. */
export interface PolicyPod {
  /** int32 in host order, as all addresses. */
  address: Address;
  /** Address of its node, which always reaches it; 0 if that is unknown. */
  node: number;
  /** Subject for what arrives; 0: no policy of this direction selects it. */
  ingress: number;
  /** Subject for what it sends. */
  egress: number;
  /** Its peer class. */
  peer: number;
  /**
   * The policy generation since which this pod has the address; 0 for always. Flows judged before
   * are another's.
   */
  born: number;
  /** Hash of its uid: tells the next agent whether it is the same pod. */
  uid: number;
}

/**
 * Policies of one direction that select the same pods, with the same meaning of their named ports.
 */
export interface PolicySubject {
  /** From 1 up, without large gaps; stands for one direction. */
  id: number;
  /** Ids of the policies in force; with none of them everything is let pass. */
  enforced: number[];
  /** Ids of those that only count what they would drop. */
  audited: number[];
}

/** Ports that a rule allows. */
export interface PolicyPorts {
  /** PROTO_TCP, PROTO_UDP or PROTO_SCTP; 0 for every protocol, those without ports among them. */
  proto: number;
  /** Both inclusive; 0 to 65535 for all. */
  first: number;
  last: number;
  /** Id of the policy, and the number of its rule in the direction, from 0. */
  policy: number;
  rule: number;
  /** The policy is audited only: the rule allows nothing, and tells what would be allowed. */
  audited: boolean;
}

/** What a subject's policies allow from or to a peer class. */
export interface PolicyPair {
  subject: number;
  peer: number;
  /** Index into `portSets`. */
  ports: number;
}

/** Addresses whose longest prefix this is have the peer class. */
export interface PolicyPrefix {
  address: Address;
  /** Bits, 0 to 32. */
  length: number;
  peer: number;
}

export interface PolicyRules {
  subjects: PolicySubject[];
  pairs: PolicyPair[];
  /**
   * Each any overlap; the order of entries does not matter, but that one in force goes before one
   * that is audited.
   */
  portSets: PolicyPorts[][];
  prefixes: PolicyPrefix[];
  /** `NS/NAME` of each policy that has an id. */
  names: { id: number; name: string }[];
}

/** What one publish changes of the policy part. */
export interface PolicyChange {
  /**
   * Grows when flows must be judged again: rules have changed, a pod has another subject or class,
   * or has gone. A pod on an address that had none does not need it, for no flow of such an address
   * is let live.
   */
  generation: number;
  /**
   * False: there is no NetworkPolicy, and everything is let pass; `pods` and `rules` do not matter.
   */
  active: boolean;
  /**
   * All pods of the cluster, one an address; null leaves them as they are, but for `podChanges`.
   */
  pods: PolicyPod[] | null;
  /** With `pods` null: pods that are new or different, and addresses that no pod has now. */
  podChanges?: { put: PolicyPod[]; gone: number[] };
  /** All rules; null leaves them as they are. */
  rules: PolicyRules | null;
  /** The rules as words, where they were encoded before. */
  encoded?: Int32Array;
}
