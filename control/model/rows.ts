import type { Range4 } from '../../datapath/wire/address.ts';
// Compact rows of the cluster, made from API objects on arrival. Addresses are int32 in host order
// as in the datapath, without IPv6.

/** A port of a Service, an EndpointSlice or a container. */
export interface PortRow {
  /** Empty for the only, unnamed port. */
  name: string;
  /** 1 to 65535. */
  number: number;
  /** PROTO_*. */
  proto: number;
}

export interface ServicePortRow extends PortRow {
  /** 0 for none. */
  nodePort: number;
}

/** A Service. It has no ports if kubetun does not capture it. */
export interface ServiceRow {
  /** `namespace/name`. */
  key: string;
  /** Creation time in ms. Of two Services with one address and port the older one gets it. */
  createdMs: number;
  clusterAddresses: number[];
  externalAddresses: number[];
  /** Load balancer addresses to capture: ingress with ipMode nil or VIP. */
  loadBalancerAddresses: number[];
  ports: ServicePortRow[];
  /** internalTrafficPolicy: Local. */
  internalLocal: boolean;
  /** externalTrafficPolicy: Local. */
  externalLocal: boolean;
  /** ClientIP affinity in seconds; 0 for none. */
  affinityS: number;
  /** loadBalancerSourceRanges as pairs (address, mask). Empty allows all sources. */
  sourceRanges: Int32Array;
  /** healthCheckNodePort of load balancers with externalTrafficPolicy Local. 0 for none. */
  healthPort: number;
}

/** One endpoint of an EndpointSlice. */
export interface EndpointRow {
  address: number;
  /** Empty if the slice names none. */
  nodeName: string;
  ready: boolean;
  serving: boolean;
  terminating: boolean;
  /** Zones and nodes that should use this endpoint; empty without hints. */
  hintZones: readonly string[];
  hintNodes: readonly string[];
}

/** An EndpointSlice. It has no endpoints if it is of another address family or of no Service. */
export interface SliceRow {
  /** `namespace/name` of the slice. */
  key: string;
  /** `namespace/name` of the Service; empty for none. */
  serviceKey: string;
  ports: PortRow[];
  endpoints: EndpointRow[];
}

export interface NodeRow {
  name: string;
  /** InternalIPs; the first is the node's primary address. */
  addresses: number[];
  /** ExternalIPs. The first is the node's address outside. */
  publicAddresses: number[];
  podRanges: Range4[];
  /** Label topology.kubernetes.io/zone; empty for none. */
  zone: string;
  /** In deletion, or soon to be: load balancers send it no new connections. */
  leaving: boolean;
}
