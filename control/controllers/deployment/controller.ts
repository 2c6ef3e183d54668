// Rolling updates: pkg/controller/deployment.

import { conditionOf, type KubeObject, keyOf } from '../../kube/object.ts';
import { type LabelSelector, selects } from '../../model/label-selector.ts';
import { type Change, type Cluster, Controller } from '../controller.ts';
import { claim, controllerOf, ownedIndex } from '../owners.ts';
import { isOver } from '../pods.ts';
import { progressing } from './conditions.ts';
import { isRolling } from './proportions.ts';
import { partSets, REVISION, revisionOf, withReplicas } from './revisions.ts';
import { isScaled, rollingStep, scalingStep } from './rollout.ts';
import { SetWriter } from './sets.ts';
import { deadlineInMs, isComplete, plainStatus, rolloutStatus, type Sets } from './status.ts';

/** Conditions hold whole seconds. */
const SECOND_MS = 1000;

/**
 * Brings the ReplicaSets of every Deployment to its spec. It takes a step only after all
 * ReplicaSets have reacted to the last one, so that their counts are current.
 */
export class DeploymentController extends Controller {
  readonly #writer: SetWriter;
  readonly #sets = ownedIndex();

  constructor(cluster: Cluster) {
    super(cluster);
    this.#writer = new SetWriter(cluster);
    cluster.store.each('replicasets', (object) => this.#sets.update({ object }));
    this.follow('deployments', ({ object }) => this.queue.add(keyOf(object)));
    this.subscribe('replicasets', (event) => this.#onSet(event));
    this.subscribe('pods', (event) => this.#onPod(event));
  }

  #onSet(change: Change): void {
    const { type, object, old } = change;
    this.#sets.update(change);
    for (const set of old ? [old, object] : [object]) this.#enqueueOwner(set);
    if (controllerOf(object) || type === 'DELETED') return;
    const { namespace, labels } = object.metadata;
    for (const deployment of this.cluster.store.list('deployments', namespace)) {
      const selector: LabelSelector = deployment.spec.selector;
      if (selects(selector, labels)) this.queue.add(keyOf(deployment));
    }
  }

  /** With strategy Recreate new pods start after the last old pod has ended. */
  #onPod({ type, object }: Change): void {
    if (type !== 'DELETED' && !isOver(object)) return;
    const owner = controllerOf(object);
    const set =
      owner && this.cluster.store.get('replicasets', object.metadata.namespace!, owner.name);
    if (set) this.#enqueueOwner(set);
  }

  #enqueueOwner(set: KubeObject): void {
    const owner = controllerOf(set);
    if (owner?.kind === 'Deployment') this.queue.add(`${set.metadata.namespace}/${owner.name}`);
  }

  protected reconcile(key: string): void {
    const { store, clock } = this.cluster;
    let deployment = store.at('deployments', key);
    if (!deployment) return;
    const sets = claim(this.cluster, deployment, this.#sets);
    // The next status of an unsettled set runs this again.
    if (!sets.every(isSettled)) return;
    if (deployment.metadata.deletionTimestamp) return this.#writePlainStatus(deployment);
    deployment = this.#notePause(deployment);
    const parts = partSets(deployment, sets);
    if (deployment.spec.paused || isScaled(deployment, parts)) this.#scale(deployment, parts);
    else if (isRolling(deployment)) this.#roll(deployment, parts);
    else this.#recreate(deployment, parts);
    const left = store.at('deployments', key);
    const waitMs = left ? deadlineInMs(left, clock.unixMs()) : null;
    if (waitMs !== null) this.queue.addAfter(key, waitMs + SECOND_MS);
  }

  #notePause(deployment: KubeObject): KubeObject {
    const { spec } = deployment;
    const reason = conditionOf(deployment, 'Progressing')?.reason;
    // A pause does not remove the failure of a rollout.
    if (reason === 'ProgressDeadlineExceeded') return deployment;
    const isNoted = reason === 'DeploymentPaused';
    if (isNoted === (spec.paused ?? false)) return deployment;
    const fact = spec.paused
      ? progressing('Unknown', 'DeploymentPaused', 'Deployment is paused')
      : progressing('Unknown', 'DeploymentResumed', 'Deployment is resumed');
    return this.#writer.note(deployment, fact);
  }

  /** Changes sizes only, without a rollout step. */
  #scale(given: KubeObject, parts: Sets): void {
    const { deployment, newest } = this.#promote(given, parts);
    const sets = { ...parts, newest };
    this.#writer.resize(deployment, scalingStep(deployment, sets));
    if (deployment.spec.paused) this.#forgetOld(deployment, parts.others);
    this.#writePlainStatus(deployment);
  }

  #roll(given: KubeObject, parts: Sets): void {
    const made = parts.newest ? this.#promote(given, parts) : this.#create(given, parts.others);
    if (!made) return;
    const { deployment, newest } = made;
    const sizes = rollingStep(deployment, newest!, parts.others);
    this.#writer.resize(deployment, sizes);
    if (sizes.size === 0) this.#forgetWhenComplete(deployment, parts.others);
    this.#writeRolloutStatus(deployment);
  }

  #recreate(given: KubeObject, parts: Sets): void {
    const active = withReplicas(parts.others);
    const promoted = this.#promote(given, parts);
    this.#writer.resize(promoted.deployment, new Map(active.map((set) => [set, 0])));
    if (active.length > 0 || this.#hasPods(parts.others)) {
      return this.#writeRolloutStatus(promoted.deployment);
    }
    const made = parts.newest ? promoted : this.#create(promoted.deployment, parts.others);
    if (!made) return;
    const { deployment, newest } = made;
    const { replicas } = deployment.spec;
    if (newest!.spec.replicas !== replicas) {
      this.#writer.resize(deployment, new Map([[newest!, replicas]]));
    } else this.#forgetWhenComplete(deployment, parts.others);
    this.#writeRolloutStatus(deployment);
  }

  /** Gives the newest revision to the newest set, if there is one, and to its Deployment. */
  #promote(given: KubeObject, { newest, others }: Sets) {
    if (!newest) return { deployment: given, newest };
    const set = this.#writer.promote(newest, given, others);
    let deployment = this.#writer.writeRevision(given, set.metadata.annotations?.[REVISION]);
    if (!conditionOf(deployment, 'Progressing')) {
      const message = `Found new replica set ${JSON.stringify(set.metadata.name)}`;
      deployment = this.#writer.note(
        deployment,
        progressing('True', 'FoundNewReplicaSet', message),
      );
    }
    return { deployment, newest: set };
  }

  /** Null if the namespace ends, or the name is taken. */
  #create(given: KubeObject, others: KubeObject[]) {
    if (this.cluster.isEnding(given.metadata.namespace!)) return null;
    const newest = this.#writer.create(given, others);
    if (!newest) return null;
    const revised = this.#writer.writeRevision(given, newest.metadata.annotations?.[REVISION]);
    const message = `Created new replica set ${JSON.stringify(newest.metadata.name)}`;
    const fact = progressing('True', 'NewReplicaSetCreated', message);
    return { deployment: this.#writer.note(revised, fact), newest };
  }

  /** True if a pod of these sets has not ended yet, even if its deletion has started. */
  #hasPods(sets: KubeObject[]): boolean {
    const uids = new Set(sets.map(({ metadata }) => metadata.uid));
    const namespace = sets[0]?.metadata.namespace;
    if (!namespace) return false;
    const pods = this.cluster.store.list('pods', namespace);
    return pods.some((pod) => uids.has(controllerOf(pod)?.uid) && !isOver(pod));
  }

  #forgetWhenComplete(deployment: KubeObject, others: KubeObject[]): void {
    if (isComplete(deployment, deployment.status ?? {})) this.#forgetOld(deployment, others);
  }

  /** Deletes old sets without pods beyond revisionHistoryLimit. */
  #forgetOld({ spec }: KubeObject, others: KubeObject[]): void {
    const kept = others.filter(({ metadata }) => !metadata.deletionTimestamp);
    const excess = kept.length - spec.revisionHistoryLimit;
    if (excess <= 0) return;
    const oldest = kept.toSorted((a, b) => revisionOf(a) - revisionOf(b)).slice(0, excess);
    for (const set of oldest) {
      if (set.spec.replicas === 0 && !set.status?.replicas) this.cluster.remove(set);
    }
  }

  #writePlainStatus(deployment: KubeObject): void {
    const nowMs = this.cluster.clock.unixMs();
    this.#writer.writeStatus(deployment, plainStatus(deployment, this.#parts(deployment), nowMs));
  }

  #writeRolloutStatus(deployment: KubeObject): void {
    const nowMs = this.cluster.clock.unixMs();
    this.#writer.writeStatus(deployment, rolloutStatus(deployment, this.#parts(deployment), nowMs));
  }

  /** The sets after the last writes. */
  #parts(deployment: KubeObject): Sets {
    return partSets(deployment, this.#sets.of(deployment.metadata.uid!));
  }
}

/** True if a ReplicaSet's controller has seen its latest spec. */
function isSettled({ metadata, status }: KubeObject): boolean {
  return (status?.observedGeneration ?? 0) >= metadata.generation!;
}
