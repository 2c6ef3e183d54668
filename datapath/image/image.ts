// The NAT image: the contract between the control plane, which writes it, and the datapath, which
// reads it. This file holds its types, layout.ts the place of each word; writer.ts publishes.

import { SERVICE_IDS } from '../arena/layout.ts';
import type { PolicyChange } from '../policy/policy.ts';
import type { Address, Range4 } from '../wire/address.ts';

/** Kinds of frontends; the order is part of the layout. */
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

/** Data of a node and its cluster. Addresses are int32 in host order. */
export interface NodeEntry {
  nodeAddress: Address;
  /** Addresses of all nodes, this one included. */
  nodeAddresses: Address[];
  podRanges: Range4[];
  serviceRange: Range4;
  /** Inclusive; the node's ephemeral range excludes these ports. */
  snatPortMin: number;
  snatPortMax: number;
  /**
   * Addresses of this node that are not in its Node object, such as those of other devices or of a
   * DNS cache.
   */
  localAddresses?: Address[];
  /**
   * Role gateway: pairs (node address, public address) of the stateless 1:1 translation. Absent on
   * a node. A gateway's `serviceRange` has the public addresses, its `podRanges` the whole inside,
   * where only nodes may send; `nodeAddress` is its own. Its Services are load balancers with
   * SERVICE_FLAG_EXTERNAL_LOCAL: the client keeps its address. Their endpoints are the same in
   * `cluster` and `local`: (node, NodePort), or the frontend itself if every node captures it.
   */
  gateway?: Int32Array;
}

/** One Service port as the datapath sees it on this node. */
export interface ServiceEntry {
  /** Stable while the Service port exists. Not reused while a flow has it. */
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
   * UDP: endpoints that serve but are not eligible, and keep their flows: pairs (address, port).
   */
  serving: Int32Array;
  /** loadBalancerSourceRanges: pairs (address, mask); an empty list allows every source. */
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

/** The changes of one publish. Ids in `remove` are gone; `upsert` replaces whole entries. */
export interface ImageChange {
  /** Null changes nothing; the first publish must set it. */
  node: NodeEntry | null;
  upsert: ServiceEntry[];
  remove: number[];
  addFrontends: FrontendEntry[];
  removeFrontends: FrontendEntry[];
  /** NetworkPolicy; null or absent changes nothing. */
  policy?: PolicyChange | null;
}
