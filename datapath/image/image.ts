// The NAT image: the one contract between the control plane, which writes it, and the datapath,
// which reads it. This file holds its vocabulary; layout.ts says where each word lies, writer.ts
// publishes.

import { SERVICE_IDS } from '../arena/layout.ts';
import type { PolicyChange } from '../policy/policy.ts';
import type { Address } from '../wire/address.ts';

/** IP protocol numbers that can be a Service's. */
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_SCTP = 132;

/** How a frontend came to be; order is part of the layout. */
export const FRONTEND_CLUSTER = 0;
export const FRONTEND_NODEPORT = 1;
export const FRONTEND_LOADBALANCER = 2;
export const FRONTEND_EXTERNAL = 3;
export const FRONTEND_KINDS = ['cluster', 'nodeport', 'loadbalancer', 'external'] as const;

/** internalTrafficPolicy: Local. */
export const SERVICE_FLAG_INTERNAL_LOCAL = 1;
/** externalTrafficPolicy: Local. */
export const SERVICE_FLAG_EXTERNAL_LOCAL = 2;

/** Service ids run from 1 to this; 0 means none. */
export const SERVICE_ID_MAX = SERVICE_IDS - 1;

/**
 * A range of IPv4 addresses; `address` and `mask` are int32 in host order, `address & mask ===
 * address`.
 */
export interface Range4 {
  address: Address;
  mask: number;
}

/** What a node's datapath knows of itself and of the cluster. Addresses are int32 in host order. */
export interface NodeEntry {
  nodeAddress: Address;
  /** Addresses of all nodes, this one included. */
  nodeAddresses: Address[];
  podRanges: Range4[];
  serviceRange: Range4;
  /** Inclusive; the range is taken out of the node's own ephemeral range. */
  snatPortMin: number;
  snatPortMax: number;
  nodePortMin: number;
  nodePortMax: number;
  /**
   * Addresses of this node that the Node object does not name: those of its other devices, of a DNS
   * cache.
   */
  localAddresses?: Address[];
  /**
   * Role gateway: pairs (node address, public address) of the stateless 1:1 translation. Absent on
   * a node. A gateway's `serviceRange` is the range of public addresses, its `podRanges` are all
   * that lies inside, where nobody but nodes may send from; `nodeAddress` is its own, which is no
   * node's. Its Services are load balancers whose endpoints, (node, NodePort) or the frontend
   * itself for what every node captures, are `cluster` and `local` alike, with
   * SERVICE_FLAG_EXTERNAL_LOCAL: the client keeps its address.
   */
  gateway?: Int32Array;
}

/** One Service port as the datapath sees it on this node. */
export interface ServiceEntry {
  /** Stable while the Service port exists, and not reused while a flow names it. */
  id: number;
  /** `NS/NAME:PORT`, PORT the name of the port or its number. */
  name: string;
  proto: number;
  /** SERVICE_FLAG_*. */
  flags: number;
  /** Session affinity in seconds; 0 is none. */
  affinityS: number;
  /** Eligible endpoints for policy Cluster: pairs (address, port). */
  cluster: Int32Array;
  /** Eligible endpoints on this node, for policy Local: pairs (address, port). */
  local: Int32Array;
  /**
   * UDP: endpoints that serve but may not be chosen, to which flows may stay: pairs (address,
   * port).
   */
  serving: Int32Array;
  /** loadBalancerSourceRanges: pairs (address, mask); empty allows everyone. */
  sourceRanges: Int32Array;
}

/** An address:port:protocol that the datapath captures. */
export interface FrontendEntry {
  address: Address;
  port: number;
  proto: number;
  /** FRONTEND_*. */
  kind: number;
  serviceId: number;
}

/** What one publish changes. Ids in `remove` are gone; `upsert` replaces whole entries. */
export interface ImageChange {
  /** Null leaves it as it is; the first publish must set it. */
  node: NodeEntry | null;
  upsert: ServiceEntry[];
  remove: number[];
  addFrontends: FrontendEntry[];
  removeFrontends: FrontendEntry[];
  /** NetworkPolicy; null or absent leaves it as it is. */
  policy?: PolicyChange | null;
}
