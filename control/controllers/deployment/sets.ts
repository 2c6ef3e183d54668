// Writes of the Deployment controller: ReplicaSets, their sizes and revisions, and the Deployment's
// status.

import { StatusError } from '../../apiserver/status.ts';
import { conditionsOf, isEqual, type KubeObject } from '../../kube/object.ts';
import type { Cluster } from '../controller.ts';
import { controllerRef } from '../owners.ts';
import { HASH_LABEL, templateHash } from '../template.ts';
import { type Fact, withFact } from './conditions.ts';
import { progressDeadlineS, scaleAnnotations } from './proportions.ts';
import { REVISION, revisionAnnotations, revisionOf } from './revisions.ts';
import { type Sizes, sizeOfNewest } from './rollout.ts';
import type { DeploymentStatus } from './status.ts';

const COMPONENT = 'deployment-controller';

export class SetWriter {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Sets the sizes of ReplicaSets. */
  resize(deployment: KubeObject, sizes: Sizes): void {
    const annotations = scaleAnnotations(deployment);
    for (const [set, replicas] of sizes) {
      this.#cluster.patch(set, { metadata: { annotations }, spec: { replicas } });
      this.#tellSize(deployment, set.metadata.name, set.spec.replicas, replicas);
    }
  }

  /** Gives a ReplicaSet the newest revision. It can be new, or one of an older revision. */
  promote(set: KubeObject, deployment: KubeObject, others: KubeObject[]): KubeObject {
    const minReadySeconds: number = deployment.spec.minReadySeconds ?? 0;
    const revision = Math.max(0, ...others.map(revisionOf)) + 1;
    const old = set.metadata.annotations ?? {};
    const annotations = revisionAnnotations(deployment, old, revision);
    const isSame = (set.spec.minReadySeconds ?? 0) === minReadySeconds;
    if (isSame && isEqual(annotations, old)) return set;
    const change = { metadata: { annotations }, ...(!isSame && { spec: { minReadySeconds } }) };
    return this.#cluster.patch(set, change);
  }

  /**
   * Creates the ReplicaSet of a Deployment's template. Null if its name is taken; the next try uses
   * another name.
   */
  create(deployment: KubeObject, others: KubeObject[]): KubeObject | null {
    const namespace = deployment.metadata.namespace!;
    const wanted = describeSet(deployment, others);
    const { name } = wanted.metadata;
    if (this.#cluster.store.get('replicasets', namespace, name)) {
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
      this.writeStatus(deployment, { ...deployment.status, collisionCount });
      return null;
    }
    try {
      const set = this.#cluster.create('ReplicaSet', namespace, wanted);
      this.#tellSize(deployment, name, 0, set.spec.replicas);
      return set;
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const reason = 'ReplicaSetCreateError';
      const message = `Failed to create new replica set ${JSON.stringify(name)}: ${error.message}`;
      this.#cluster.record(deployment, COMPONENT, 'Warning', reason, message);
      this.note(deployment, { type: 'Progressing', status: 'False', reason, message });
      throw error;
    }
  }

  /** Writes the revision on a Deployment. Returns the result. */
  writeRevision(deployment: KubeObject, revision: string | undefined): KubeObject {
    if (!revision || deployment.metadata.annotations?.[REVISION] === revision) return deployment;
    return this.#cluster.patch(deployment, { metadata: { annotations: { [REVISION]: revision } } });
  }

  /** Adds a condition about progress, if the Deployment has a deadline. */
  note(deployment: KubeObject, fact: Fact): KubeObject {
    if (progressDeadlineS(deployment) === null) return deployment;
    const nowMs = this.#cluster.clock.unixMs();
    const conditions = withFact(conditionsOf(deployment), fact, nowMs);
    return this.writeStatus(deployment, { ...deployment.status, conditions });
  }

  writeStatus(deployment: KubeObject, status: DeploymentStatus): KubeObject {
    if (isEqual(status, deployment.status)) return deployment;
    return this.#cluster.writeStatus(deployment, status);
  }

  #tellSize(deployment: KubeObject, name: string, from: number, to: number): void {
    if (from === to) return;
    const message = `Scaled ${to > from ? 'up' : 'down'} replica set ${name} from ${from} to ${to}`;
    this.#cluster.record(deployment, COMPONENT, 'Normal', 'ScalingReplicaSet', message);
  }
}

/** The wanted ReplicaSet for a Deployment's template. */
function describeSet(deployment: KubeObject, others: KubeObject[]) {
  const { metadata, spec, status } = deployment;
  const hash = templateHash(spec.template, status?.collisionCount ?? 0);
  const labels = { ...spec.template.metadata.labels, [HASH_LABEL]: hash };
  const revision = Math.max(0, ...others.map(revisionOf)) + 1;
  const { selector, template } = spec;
  return {
    metadata: {
      name: `${metadata.name}-${hash}`,
      labels,
      annotations: {
        ...revisionAnnotations(deployment, {}, revision),
        ...scaleAnnotations(deployment),
      },
      ownerReferences: [controllerRef(deployment)],
    },
    spec: {
      replicas: sizeOfNewest(deployment, others, 0),
      ...(spec.minReadySeconds && { minReadySeconds: spec.minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}
