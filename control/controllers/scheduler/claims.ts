// Claims of a pod: pkg/scheduler/framework/plugins/volumebinding.
import type { Store } from '../../apiserver/store/store.ts';
import type { KubeObject } from '../../kube/object.ts';
import {
  BOUND_BY_CONTROLLER,
  claimKeysOf,
  isFor,
  NO_PROVISIONER,
  referenceTo,
  SELECTED_NODE,
  smallestFor,
} from '../../model/storage.ts';
import type { Cluster } from '../controller.ts';
import { matchesTerms } from './fit.ts';

/** Where the claims of a pod let it run, and what happens to claims that wait for its node. */
export class PodClaims {
  readonly #store: Store;
  /** Volumes of claims that are bound. */
  readonly #volumes: KubeObject[] = [];
  /** Claims whose class waits for the first pod. */
  readonly #waiting: KubeObject[] = [];
  /** Why no node can take the pod; null if its claims allow one. */
  readonly problem: string | null;

  constructor(store: Store, pod: KubeObject) {
    this.#store = store;
    this.problem = this.#find(pod);
  }

  #find(pod: KubeObject): string | null {
    for (const key of claimKeysOf(pod)) {
      const claim = this.#store.at('persistentvolumeclaims', key);
      const what = `persistentvolumeclaim ${JSON.stringify(key.slice(key.indexOf('/') + 1))}`;
      if (!claim) return `${what} not found`;
      if (claim.metadata.deletionTimestamp) return `${what} is being deleted`;
      const { volumeName = '' } = claim.spec;
      if (claim.status?.phase === 'Lost') {
        return `${what} bound to non-existent persistentvolume ${JSON.stringify(volumeName)}`;
      }
      const volume = this.#store.get('persistentvolumes', '', volumeName);
      if (volume && claim.status?.phase === 'Bound') this.#volumes.push(volume);
      else if (!volumeName && this.#classOf(claim)?.volumeBindingMode === 'WaitForFirstConsumer') {
        this.#waiting.push(claim);
      } else return 'pod has unbound immediate PersistentVolumeClaims';
    }
    return null;
  }

  #classOf({ spec }: KubeObject): KubeObject | undefined {
    return this.#store.get('storageclasses', '', spec.storageClassName ?? '');
  }

  /** Why a node cannot take the pod; null if it can. */
  refusal(node: KubeObject): string | null {
    if (!this.#volumes.every((volume) => isReachable(volume, node))) {
      return 'node(s) had volume node affinity conflict';
    }
    if (this.#choose(node)) return null;
    return "node(s) didn't find available persistent volumes to bind";
  }

  /** What each waiting claim still needs on the node. Null if one cannot get it. */
  #choose(node: KubeObject): Need[] | null {
    const needs: Need[] = [];
    if (this.#waiting.length === 0) return needs;
    const volumes = this.#store.list('persistentvolumes');
    const free = new Set(volumes.filter((volume) => isReachable(volume, node)));
    for (const claim of this.#waiting) {
      const reserved = volumes.find((volume) => isFor(volume, claim));
      const selected = claim.metadata.annotations?.[SELECTED_NODE] ?? '';
      const volume = smallestFor(claim, [...free]);
      if (reserved) {
        if (!isReachable(reserved, node)) return null;
      } else if (this.#store.get('nodes', '', selected)) {
        // The claim has a node already: by another pod, or by an earlier choice for this one.
        if (selected !== node.metadata.name) return null;
      } else if (volume) {
        free.delete(volume);
        needs.push({ claim, volume });
      } else if (this.#classOf(claim)!.provisioner === NO_PROVISIONER) return null;
      else needs.push({ claim, volume: null });
    }
    return needs;
  }

  /**
   * Reserves volumes on the node, or asks for new ones, for claims that wait for it. False if all
   * claims are bound.
   */
  reserve(cluster: Cluster, node: KubeObject): boolean {
    for (const { claim, volume } of this.#choose(node) ?? []) {
      const [object, annotations, spec] = volume
        ? [volume, { [BOUND_BY_CONTROLLER]: 'yes' }, { claimRef: referenceTo(claim) }]
        : [claim, { [SELECTED_NODE]: node.metadata.name }, {}];
      cluster.patch(object, { metadata: { annotations }, spec });
    }
    return this.#waiting.length > 0;
  }
}

/** A claim, and the volume to reserve for it. Null asks for a new volume. */
interface Need {
  claim: KubeObject;
  volume: KubeObject | null;
}

function isReachable({ spec }: KubeObject, node: KubeObject): boolean {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms;
  return !terms || matchesTerms(terms, node);
}
