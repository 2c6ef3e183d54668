// What `explain -o json` prints.
import type { TupleRow } from '../../datapath/observe/packet.ts';
import type { Passage } from '../../datapath/observe/probe.ts';

/** One step of a packet's path. */
export interface Step {
  node: string;
  stage: string;
  text: string;
}

/** An endpoint that was not eligible, and the reason. */
export interface Excluded {
  endpoint: string;
  why: string;
}

/** One query of a search. */
export interface LookupQuery {
  /** With a dot at the end. */
  name: string;
  type: string;
  /** Null for a name outside of the cluster: nothing here knows the answer. */
  rcode: string | null;
  /** As `NAME TYPE DATA`. */
  answers: string[];
}

/** How a name was resolved: `lookup` of `explain -o json`. */
export interface Lookup {
  name: string;
  /** Where the name was found: in /etc/hosts of the pod, in a DNS server, or nowhere. */
  by: 'hosts' | 'dns' | null;
  /** The name server that is asked, the Service it belongs to, the endpoint that answers. */
  server: { address: string; service: string | null; endpoint: string | null } | null;
  queries: LookupQuery[];
  /** The packet goes to the first address. A DNS server returns them in any order. */
  addresses: string[];
}

/** What HAProxy does with a request: `ingress` of `explain -o json`. Unknown is null. */
export interface IngressMatch {
  /** `NS/NAME` of the Ingress whose rule matches. */
  ingress: string | null;
  host: string | null;
  path: string | null;
  pathType: 'Exact' | 'Prefix' | null;
  /** Indices in spec.rules and http.paths; null for a default backend. */
  rule: number | null;
  rulePath: number | null;
  /** `NS/NAME:PORT` of the Service. */
  backend: string | null;
  endpoints: string[];
  chosen: string | null;
  /** `NS/NAME` of the Secret; null for plain http and for the default certificate. */
  certificate: string | null;
  /** The status of HAProxy's own answer; null if an endpoint answers. */
  status: number | null;
}

export interface Explanation {
  /**
   * Unresolved: the name of the destination has no address, so no packet is sent. Local: the packet
   * never leaves the pod or node that sends it.
   */
  verdict: 'forward' | 'reject' | 'drop' | 'unresolved' | 'local';
  /**
   * A stable code: the counter of a drop or refusal, or `flow`, `service`, `egress`, `direct`, ...
   * Of a packet that no datapath sees `loopback`, `own-address` or `not-routed`.
   * Of a URL that HAProxy answers itself `ingress-no-rule`, `ingress-no-endpoint`,
   * `ingress-bad-request`, `ingress-not-allowed` or `ingress-redirect`.
   * Of a name `nxdomain`, `nodata`, `external`, `no-nameserver`, or `query-` and the reason by
   * which the query ended.
   */
  reason: string;
  service: string | null;
  eligible: string[];
  excluded: Excluded[];
  chosen: { endpoint: string; by: NonNullable<Passage['chosenBy']> } | null;
  /** Reason of a masquerade; null without one. */
  masquerade: Passage['masquerade'];
  /** How a name was resolved; null for an address. */
  lookup: Lookup | null;
  /** The rule that a URL matches; null for other questions. */
  ingress: IngressMatch | null;
  /** For ICMP the ports are the identifier and 0. Null for a name without an address. */
  original: TupleRow | null;
  /** As it leaves the first node; null if it does not leave. */
  translated: TupleRow | null;
  /** NetworkPolicies that decided about the packet on any node. */
  policies: Passage['policies'];
  steps: Step[];
}
