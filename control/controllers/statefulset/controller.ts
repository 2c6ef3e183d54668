// StatefulSets: pkg/controller/statefulset.
import type { KubeObject } from '../../kube/object.ts';
import type { Cluster } from '../controller.ts';
import {
  forgetRevisions,
  REVISION_LABEL,
  revisionsOf,
  syncRevision,
  templateOf,
} from '../history.ts';
import { PodOwnerController } from '../owned-pods.ts';
import { availableInMs, readySinceMs } from '../pods.ts';
import { createClaims, syncRetention, volumesOf } from './claims.ts';
import { describePod, isOfRevision, isTerminating, ordinalOf } from './identity.ts';
import { nextStep, type Revisions } from './step.ts';

const HASH_LABEL = 'controller.kubernetes.io/hash';

/** Keeps pods with stable names, one after the other unless the set says otherwise. */
export class StatefulSetController extends PodOwnerController {
  constructor(cluster: Cluster) {
    super(cluster, 'statefulset-controller', 'StatefulSet');
  }

  protected reconcile(key: string): void {
    const set = this.cluster.store.at('statefulsets', key);
    if (!set) return;
    const pods = this.claimPods(set, (pod) => ordinalOf(set, pod) >= 0);
    if (set.metadata.deletionTimestamp) return;
    const revisions = this.#revisions(set);
    try {
      this.#step(set, pods, revisions);
    } finally {
      const left = this.podsOf(set);
      this.#writeStatus(set, left, revisions);
      this.#forget(set, left, revisions);
    }
    this.awaitAvailable(set);
  }

  #revisions(set: KubeObject): Revisions {
    const all = revisionsOf(this.cluster, set);
    const update = syncRevision(this.cluster, set, all, HASH_LABEL);
    const current = all.find(({ metadata }) => metadata.name === set.status?.currentRevision);
    return { current: current ?? update, update };
  }

  #step(set: KubeObject, pods: KubeObject[], revisions: Revisions): void {
    const { create, remove } = nextStep(set, pods, revisions, this.cluster.clock.unixMs());
    // Before a pod goes, since its end may end its claims.
    syncRetention(this.cluster, set, pods);
    for (const pod of remove) this.removePod(set, pod);
    if (this.cluster.isEnding(set.metadata.namespace!)) return;
    for (const { ordinal, revision } of create) {
      const template = templateOf(revision);
      createClaims(this.cluster, set, ordinal);
      const volumes = volumesOf(set, template, ordinal);
      const { metadata, spec } = describePod(set, template, revision, ordinal, volumes);
      this.createPod(set, template, metadata, spec);
    }
  }

  #writeStatus(set: KubeObject, pods: KubeObject[], { current, update }: Revisions): void {
    const nowMs = this.cluster.clock.unixMs();
    const { spec, metadata, status } = set;
    const count = (test: (pod: KubeObject) => boolean) => pods.filter(test).length;
    const ofRevision = (revision: KubeObject) =>
      count((pod) => isOfRevision(pod, revision) && !isTerminating(pod));
    const minReadyS = spec.minReadySeconds ?? 0;
    const updatedReplicas = ofRevision(update);
    const readyReplicas = count((pod) => readySinceMs(pod) !== null && !isTerminating(pod));
    // A rolling update is complete when every pod has the new revision and is ready.
    const isComplete =
      spec.updateStrategy.type === 'RollingUpdate' &&
      updatedReplicas === pods.length &&
      readyReplicas === pods.length;
    const settled = isComplete ? update : current;
    const numbers = {
      readyReplicas,
      currentReplicas: ofRevision(settled),
      updatedReplicas,
    };
    this.writeOwnStatus(set, {
      observedGeneration: metadata.generation,
      replicas: pods.length,
      // Upstream omits zeros of these, and writes all others.
      ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0)),
      availableReplicas: count((pod) => availableInMs(pod, minReadyS, nowMs) === 0),
      currentRevision: settled.metadata.name,
      updateRevision: update.metadata.name,
      collisionCount: 0,
      ...(status?.conditions && { conditions: status.conditions }),
    });
  }

  #forget(set: KubeObject, pods: KubeObject[], { current, update }: Revisions): void {
    const used = new Set([
      ...[current.metadata.name, update.metadata.name],
      ...pods.map(({ metadata }) => metadata.labels?.[REVISION_LABEL]),
    ]);
    const all = revisionsOf(this.cluster, set);
    forgetRevisions(this.cluster, set, all, ({ metadata }) => used.has(metadata.name));
  }
}
