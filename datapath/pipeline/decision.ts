export const SELECTED_NONE = 0;
export const SELECTED_ONLY = 1;
export const SELECTED_RANDOM = 2;
/** Session affinity: the endpoint that the client got last. */
export const SELECTED_AFFINITY = 3;
export const SELECTED_NAMES = [null, 'only', 'random', 'affinity'] as const;

export const MASQUERADE_NO = 0;
/** The chosen endpoint is the source itself. */
export const MASQUERADE_HAIRPIN = 1;
/** A source outside the pod ranges to a cluster address, the node itself included. */
export const MASQUERADE_OUTSIDE = 2;
/** externalTrafficPolicy Cluster. */
export const MASQUERADE_EXTERNAL = 3;
/** From a pod to an address outside the cluster. */
export const MASQUERADE_EGRESS = 4;
export const MASQUERADE_NAMES = [null, 'hairpin', 'outside', 'external', 'egress'] as const;

/** What establish decided for one packet; ints only, and one object for all packets. */
export class Decision {
  /** Tuple after translation. */
  newSrc = 0;
  newDst = 0;
  newPorts = 0;
  /** Service port's id, 0 for none. */
  service = 0;
  /** FRONTEND_* + 1 of the frontend that matched, 0 for none. */
  frontend = 0;
  /** SELECTED_*. */
  selected = 0;
  /** Endpoints that could have been chosen, and the word of the image where their pairs begin. */
  eligible = 0;
  pairs = 0;
  /** How long the client keeps its endpoint, ms; 0 without session affinity. */
  affinityMs = 0;
  /** 1 if a traffic policy left this node's endpoints only. */
  local = 0;
  /** MASQUERADE_*. */
  masquerade = 0;
  /** COUNT_REJECT_* or COUNT_PASSED_* if the packet makes no flow; 0 otherwise. */
  cause = 0;
  /** The first state of the flow. */
  state = 0;

  /** Resets to "packet unchanged". */
  reset(src: number, dst: number, ports: number): void {
    this.newSrc = src;
    this.newDst = dst;
    this.newPorts = ports;
    this.service = 0;
    this.frontend = 0;
    this.selected = SELECTED_NONE;
    this.eligible = 0;
    this.pairs = 0;
    this.affinityMs = 0;
    this.local = 0;
    this.cause = 0;
    this.masquerade = MASQUERADE_NO;
    this.state = 0;
  }
}

/** What the policy check of one flow found; ints only, and one object for all packets. */
export class PolicyVerdict {
  /** Source before masquerade, and the chosen endpoint. */
  src = 0;
  dst = 0;
  /**
   * The pods' subjects: 0 if no policy of the direction selects the pod, or the address is no
   * pod's.
   */
  egress = 0;
  ingress = 0;
  /** The rules that allowed it, as the image's words; 0 if none was needed or found. */
  egressRule = 0;
  ingressRule = 0;
  /** 1 if the source is the destination's own node, which needs no rule. */
  ownNode = 0;

  reset(): void {
    this.egress = 0;
    this.ingress = 0;
    this.egressRule = 0;
    this.ingressRule = 0;
    this.ownNode = 0;
  }
}
