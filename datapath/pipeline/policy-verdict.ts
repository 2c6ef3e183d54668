/** What NetworkPolicies said of one flow; ints only, and one object for all. */
export class Judgement {
  /** Who talks to whom: before masquerade, after the choice of an endpoint. */
  src = 0;
  dst = 0;
  /**
   * The pods' subjects: 0 where no policy of the direction selects the pod, or the pod is no pod.
   */
  egress = 0;
  ingress = 0;
  /**
   * The rules that allowed it, as the image words them; 0 where none was needed or none was found.
   */
  egressRule = 0;
  ingressRule = 0;
  /** The destination is free to its own node, whatever selects it. */
  ownNode = 0;

  reset(): void {
    this.egress = 0;
    this.ingress = 0;
    this.egressRule = 0;
    this.ingressRule = 0;
    this.ownNode = 0;
  }
}
