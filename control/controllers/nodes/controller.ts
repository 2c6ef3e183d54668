// Unreachable nodes: pkg/controller/nodelifecycle. Their pods leave the endpoints until the nodes
// are reachable again.
import type { KubeObject } from '../../kube/object.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import type { Taint } from '../scheduler/taints.ts';
import {
  isGivenUp,
  isSameNode,
  isToChange,
  podStatus,
  renewedStatus,
  silentStatus,
  taintsOf,
} from './conditions.ts';

const LEASES = 'kube-node-lease';
/** A node without a Lease renewal for this time counts as unreachable. */
const GRACE_MS = 20_000;

/**
 * Marks nodes without Lease renewals as unreachable, until the next renewal. It counts from the
 * time when it sees a renewal. So different clocks and a restart of this server mark no node.
 * Ignores nodes without a Lease. Keys are names of nodes.
 */
export class NodeLifecycleController extends Controller {
  /** Node -> when the controller last saw a renewal of its Lease, or first saw the Lease. */
  readonly #seen = new Map<string, { atMs: number; isRenewed: boolean }>();
  /** Nodes with pods whose status must change. */
  readonly #unsettled = new Set<string>();

  constructor(cluster: Cluster) {
    super(cluster, 'node-controller');
    for (const lease of cluster.store.list('leases', LEASES)) {
      this.#see(lease, false);
      // An earlier server may have ended before it wrote the status of the pods.
      this.#unsettled.add(lease.metadata.name);
    }
    this.subscribe('leases', (event) => this.#onLease(event));
    this.subscribe('nodes', ({ object, old }) => {
      if (!isSameNode(object, old)) this.queue.add(object.metadata.name);
    });
    this.subscribe('pods', (event) => this.#onPod(event));
  }

  #onLease({ type, object, old }: Change): void {
    if (object.metadata.namespace !== LEASES) return;
    if (type === 'DELETED') this.#seen.delete(object.metadata.name);
    else if (object.spec?.renewTime !== old?.spec?.renewTime) this.#see(object, true);
  }

  #see({ metadata }: KubeObject, isRenewed: boolean): void {
    this.#seen.set(metadata.name, { atMs: this.cluster.clock.unixMs(), isRenewed });
    this.queue.add(metadata.name);
  }

  /** The pod runner may report a pod as ready while its node is unreachable. */
  #onPod({ type, object: pod }: Change): void {
    const name: string | undefined = pod.spec.nodeName;
    if (!name || type === 'DELETED' || !this.#seen.has(name)) return;
    const node = this.cluster.store.get('nodes', '', name);
    if (!node || !isToChange(pod, isGivenUp(node))) return;
    this.#unsettled.add(name);
    this.queue.add(name);
  }

  protected reconcile(name: string): void {
    const { store, clock } = this.cluster;
    const node = store.get('nodes', '', name);
    const seen = this.#seen.get(name);
    if (!node || !seen) return;
    const nowMs = clock.unixMs();
    const leftMs = seen.atMs + GRACE_MS - nowMs;
    const wasSilent = isGivenUp(node);
    // A node that was unreachable at the start stays so until a renewal.
    const isSilent = leftMs <= 0 || (wasSilent && !seen.isRenewed);
    if (leftMs > 0) this.queue.addAfter(name, leftMs);
    if (isSilent !== wasSilent) {
      const status = isSilent ? silentStatus(node, nowMs) : renewedStatus(node, nowMs);
      this.cluster.writeStatus(node, status);
      const reason = isSilent ? 'NodeNotReady' : 'NodeReady';
      this.record(node, 'Normal', reason, `Node ${name} status is now: ${reason}`);
    }
    const old: Taint[] = node.spec?.taints ?? [];
    const taints = taintsOf(old, isSilent, nowMs);
    if (taints !== old) {
      this.cluster.patch(node, { spec: { taints: taints.length > 0 ? taints : null } });
    }
    if (this.#unsettled.delete(name) || isSilent !== wasSilent) {
      this.#changePods(name, isSilent, nowMs);
    }
  }

  #changePods(name: string, isSilent: boolean, nowMs: number): void {
    for (const pod of this.cluster.store.list('pods')) {
      if (pod.spec.nodeName !== name || !isToChange(pod, isSilent)) continue;
      this.cluster.writeStatus(pod, podStatus(pod, isSilent, nowMs));
      if (isSilent) this.record(pod, 'Warning', 'NodeNotReady', 'Node is not ready');
    }
  }
}
