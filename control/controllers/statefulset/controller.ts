// StatefulSets: pkg/controller/statefulset.
import type { StatusError } from '../../apiserver/status.ts';
import { type KubeObject, keyOf } from '../../kube/object.ts';
import type { Cluster } from '../controller.ts';
import {
  forgetRevisions,
  REVISION_LABEL,
  revisionsOf,
  syncRevision,
  templateOf,
} from '../history.ts';
import { PodOwnerController, type Verb } from '../owned-pods.ts';
import { readySinceMs } from '../pods.ts';
import { hasStaleClaim, missingClaims, syncRetention, volumesOf } from './claims.ts';
import {
  describePod,
  identityLabels,
  isAvailable,
  isOfRevision,
  isTerminating,
  isWantedOrdinal,
  ordinalOf,
} from './identity.ts';
import { nextStep, type Revisions, revisionFor } from './step.ts';

const HASH_LABEL = 'controller.kubernetes.io/hash';

/** Keeps pods with stable names, one after the other unless the set says otherwise. */
export class StatefulSetController extends PodOwnerController {
  constructor(cluster: Cluster) {
    super(cluster, 'statefulset-controller', 'StatefulSet');
    // A new pod waits until an earlier claim of its name is gone, and until a lost claim is
    // replaced.
    this.subscribe('persistentvolumeclaims', ({ type, object: { metadata } }) => {
      if (type !== 'DELETED') return;
      const sets = cluster.store.list('statefulsets', metadata.namespace);
      for (const set of sets) this.queue.add(keyOf(set));
    });
  }

  protected reconcile(key: string): void {
    const set = this.cluster.store.at('statefulsets', key);
    if (!set) return;
    const pods = this.claimPods(set, (pod) => ordinalOf(set, pod) >= 0);
    // A namespace in deletion accepts nothing, and this set will end too.
    if (set.metadata.deletionTimestamp || this.cluster.isEnding(set.metadata.namespace!)) return;
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
    for (const pod of pods) this.#mend(set, pod);
    const { create, remove } = nextStep(set, pods, revisions.update, this.cluster.clock.unixMs());
    for (const pod of remove) this.removePod(set, pod);
    for (const ordinal of create) this.#create(set, revisionFor(set, ordinal, revisions), ordinal);
  }

  /** Creates the claims of a pod, then the pod. */
  #create(set: KubeObject, revision: KubeObject, ordinal: number): void {
    // This runs again when the claim of the earlier pod is gone.
    if (hasStaleClaim(this.cluster, set, ordinal)) return;
    this.#createClaims(set, ordinal);
    const template = templateOf(revision);
    const volumes = volumesOf(set, template, ordinal);
    const { metadata, spec } = describePod(set, template, revision, ordinal, volumes);
    this.createPod(set, template, metadata, spec);
  }

  /** Restores the labels and the claims of a pod, and the owners of its claims. */
  #mend(set: KubeObject, pod: KubeObject): void {
    const ordinal = ordinalOf(set, pod);
    // Done before a pod is deleted, because its claims may be deleted with it.
    syncRetention(this.cluster, set, pod);
    if (!isWantedOrdinal(set, ordinal) || isTerminating(pod)) return;
    if (pod.status?.phase === 'Pending') this.#createClaims(set, ordinal);
    const labels = identityLabels(set, ordinal);
    const known = pod.metadata.labels ?? {};
    if (Object.entries(labels).every(([key, value]) => known[key] === value)) return;
    const message = (error?: StatusError) => this.describe(set, 'update', pod.metadata.name, error);
    this.noting(set, 'update', message, () => this.cluster.patch(pod, { metadata: { labels } }));
  }

  #createClaims(set: KubeObject, ordinal: number): void {
    const { name } = set.metadata;
    for (const claim of missingClaims(this.cluster, set, ordinal)) {
      const what = `create Claim ${claim.metadata.name} Pod ${name}-${ordinal} in StatefulSet`;
      const message = (error?: StatusError) => `${what} ${name} ${outcome(error, 'success')}`;
      this.noting(set, 'create', message, () => {
        this.cluster.create('PersistentVolumeClaim', set.metadata.namespace!, claim);
      });
    }
  }

  protected override describe(
    set: KubeObject,
    verb: Verb,
    pod: string,
    error?: StatusError,
  ): string {
    const what = `${verb} Pod ${pod} in StatefulSet ${set.metadata.name}`;
    return `${what} ${outcome(error, 'successful')}`;
  }

  #writeStatus(set: KubeObject, pods: KubeObject[], { current, update }: Revisions): void {
    const nowMs = this.cluster.clock.unixMs();
    const { spec, metadata, status } = set;
    const count = (test: (pod: KubeObject) => boolean) => pods.filter(test).length;
    const ofRevision = (revision: KubeObject) =>
      count((pod) => isOfRevision(pod, revision) && !isTerminating(pod));
    const updatedReplicas = ofRevision(update);
    const readyReplicas = count(
      (pod) => pod.status?.phase === 'Running' && readySinceMs(pod) !== null,
    );
    // A rolling update is complete when every pod has the new revision and is ready.
    const isComplete =
      spec.updateStrategy.type === 'RollingUpdate' &&
      [pods.length, readyReplicas, updatedReplicas].every((number) => number === spec.replicas);
    const settled = isComplete ? update : current;
    const numbers = { readyReplicas, currentReplicas: ofRevision(settled), updatedReplicas };
    this.writeOwnStatus(set, {
      observedGeneration: metadata.generation,
      replicas: pods.length,
      // Upstream omits zeros of these, and writes all others.
      ...Object.fromEntries(Object.entries(numbers).filter(([, number]) => number > 0)),
      availableReplicas: count((pod) => isAvailable(set, pod, nowMs)),
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

function outcome(error: StatusError | undefined, success: string): string {
  return error ? `failed error: ${error.message}` : success;
}
