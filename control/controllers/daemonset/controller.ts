// DaemonSets: pkg/controller/daemon.
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import type { Cluster } from '../controller.ts';
import { forgetRevisions, REVISION_LABEL, revisionsOf, syncRevision } from '../history.ts';
import { PodOwnerController } from '../owned-pods.ts';
import { specFor } from './nodes.ts';
import { nextStep, spotsOf, statusOf } from './step.ts';

/** A pod that failed is replaced after so long, so that a broken image makes no storm. */
const FAILED_MS = 1000;

/** Keeps one pod of each DaemonSet on every node that fits. */
export class DaemonSetController extends PodOwnerController {
  constructor(cluster: Cluster) {
    super(cluster, 'daemonset-controller', 'DaemonSet');
    this.subscribe('nodes', ({ type, object, old }) => {
      if (type === 'MODIFIED' && old && isSameNode(object, old)) return;
      cluster.store.each('daemonsets', (set) => this.queue.add(keyOf(set)));
    });
  }

  protected reconcile(key: string): void {
    const { store, clock } = this.cluster;
    const set = store.at('daemonsets', key);
    if (!set) return;
    const pods = this.claimPods(set);
    if (set.metadata.deletionTimestamp) return;
    const revisions = revisionsOf(this.cluster, set);
    const newest = syncRevision(this.cluster, set, revisions, REVISION_LABEL);
    const hash = newest.metadata.labels![REVISION_LABEL]!;
    const nodes = store.list('nodes');
    const nowMs = clock.unixMs();
    try {
      const step = nextStep(set, spotsOf(set, nodes, pods), hash, nowMs);
      for (const pod of step.failed) this.#noteFailure(set, pod);
      for (const pod of step.remove) this.#remove(key, set, pod, step.failed.includes(pod));
      if (!this.cluster.isEnding(set.metadata.namespace!)) {
        for (const node of step.create) this.#create(set, node, hash);
      }
    } finally {
      const left = this.podsOf(set);
      this.writeOwnStatus(set, statusOf(set, spotsOf(set, nodes, left), hash, nowMs));
      this.#forget(set, left, hash);
    }
    this.awaitAvailable(set);
  }

  #create(set: KubeObject, node: string, hash: string): void {
    const { template } = set.spec;
    const metadata = {
      generateName: `${set.metadata.name}-`,
      labels: { [REVISION_LABEL]: hash },
    };
    this.createPod(set, template, metadata, specFor(template, node));
  }

  /** A pod that failed just now waits a little. */
  #remove(key: string, set: KubeObject, pod: KubeObject, isFailed: boolean): void {
    const { clock } = this.cluster;
    const started = Date.parse(pod.metadata.creationTimestamp ?? '') || 0;
    const waitMs = started + FAILED_MS - clock.unixMs();
    if (isFailed && waitMs > 0) this.queue.addAfter(key, waitMs);
    else this.removePod(set, pod);
  }

  #noteFailure(set: KubeObject, pod: KubeObject): void {
    const node = pod.spec.nodeName ?? '';
    const message = `Found failed daemon pod ${keyOf(pod)} on node ${node}, will try to kill it`;
    this.record(set, 'Warning', 'FailedDaemonPod', message);
  }

  #forget(set: KubeObject, pods: KubeObject[], hash: string): void {
    const used = new Set([hash, ...pods.map(({ metadata }) => metadata.labels?.[REVISION_LABEL])]);
    const all = revisionsOf(this.cluster, set);
    forgetRevisions(this.cluster, set, all, ({ metadata }) =>
      used.has(metadata.labels?.[REVISION_LABEL]),
    );
  }
}

/** True if two versions of a node are equal in all fields that decide about pods. */
function isSameNode(a: KubeObject, b: KubeObject): boolean {
  const isSameState = readyOf(a) === readyOf(b);
  return isSameState && isEqual(a.metadata.labels, b.metadata.labels) && isEqual(a.spec, b.spec);
}

function readyOf({ status }: KubeObject): string | undefined {
  const conditions: { type: string; status: string }[] = status?.conditions ?? [];
  return conditions.find(({ type }) => type === 'Ready')?.status;
}
