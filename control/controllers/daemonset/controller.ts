// DaemonSets: pkg/controller/daemon.
import { isEqual, type KubeObject, keyOf } from '../../kube/object.ts';
import type { Cluster } from '../controller.ts';
import { forgetRevisions, REVISION_LABEL, revisionsOf, syncRevision } from '../history.ts';
import { PodOwnerController } from '../owned-pods.ts';
import { nodeOf, specFor } from './nodes.ts';
import { nextStep, spotsOf, statusOf } from './step.ts';

/** Older clients and controllers read it. */
const GENERATION_LABEL = 'pod-template-generation';
const GENERATION = 'deprecated.daemonset.template.generation';
/** Delay after a failed pod was replaced. Each further failure on the node doubles it. */
const BACKOFF_MS_FIRST = 1000;
const BACKOFF_MS_MAX = 900_000;

/** Keeps one pod of each DaemonSet on every node that fits. */
export class DaemonSetController extends PodOwnerController {
  /** uid and generation of a DaemonSet, and node -> the last failure of a pod there. */
  readonly #failures = new Map<string, { delayMs: number; atMs: number }>();

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
      const replaced = step.ended.filter((pod) => this.#isToReplace(set, pod));
      for (const pod of [...step.remove, ...replaced]) this.removePod(set, pod);
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
    const generation = set.metadata.annotations?.[GENERATION];
    const metadata = {
      generateName: `${set.metadata.name}-`,
      labels: { [REVISION_LABEL]: hash, ...(generation && { [GENERATION_LABEL]: generation }) },
    };
    this.createPod(set, template, metadata, specFor(template, node));
  }

  /** True if a pod that has ended is to be deleted now. A pod that fails again waits longer. */
  #isToReplace(set: KubeObject, pod: KubeObject): boolean {
    const node = nodeOf(pod);
    const what = `${keyOf(pod)} on node ${node}`;
    if (pod.status?.phase === 'Succeeded') {
      const message = `Found succeeded daemon pod ${what}, will try to delete it`;
      this.record(set, 'Normal', 'SucceededDaemonPod', message);
      return true;
    }
    const nowMs = this.cluster.clock.unixMs();
    const key = `${set.metadata.uid}/${set.metadata.generation}/${node}`;
    const before = this.#failures.get(key);
    const waitMs = before ? before.atMs + before.delayMs - nowMs : 0;
    if (waitMs > 0) {
      this.queue.addAfter(keyOf(set), waitMs);
      return false;
    }
    // A node without failures for a long time starts at the beginning.
    for (const [other, { atMs }] of this.#failures) {
      if (nowMs - atMs >= 2 * BACKOFF_MS_MAX) this.#failures.delete(other);
    }
    const last = this.#failures.get(key);
    const delayMs = last ? Math.min(last.delayMs * 2, BACKOFF_MS_MAX) : BACKOFF_MS_FIRST;
    this.#failures.set(key, { delayMs, atMs: nowMs });
    const message = `Found failed daemon pod ${what}, will try to kill it`;
    this.record(set, 'Warning', 'FailedDaemonPod', message);
    return true;
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
