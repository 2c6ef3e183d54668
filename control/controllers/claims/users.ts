// Which pods use a claim: pkg/controller/volume/pvcprotection.
import { type KubeObject, keyOf } from '../../kube/object.ts';
import { claimKeysOf } from '../../model/storage.ts';

/** Pods by the claims that they name. */
export class ClaimUsers {
  /** Key of a claim -> keys of pods -> whether the pod has a node. */
  readonly #users = new Map<string, Map<string, boolean>>();

  put(pod: KubeObject): void {
    for (const claim of claimKeysOf(pod)) {
      const pods = this.#users.get(claim) ?? new Map<string, boolean>();
      this.#users.set(claim, pods.set(keyOf(pod), Boolean(pod.spec.nodeName)));
    }
  }

  remove(pod: KubeObject): void {
    for (const claim of claimKeysOf(pod)) {
      const pods = this.#users.get(claim);
      pods?.delete(keyOf(pod));
      if (pods?.size === 0) this.#users.delete(claim);
    }
  }

  /** Names of pods that wait for the claim without a node. */
  waitingPods(claim: string): string[] {
    return this.#podsOf(claim, false).map((key) => key.slice(key.indexOf('/') + 1));
  }

  /** True if a pod on a node uses the claim. */
  hasRunning(claim: string): boolean {
    return this.#podsOf(claim, true).length > 0;
  }

  #podsOf(claim: string, hasNode: boolean): string[] {
    return [...(this.#users.get(claim) ?? [])]
      .filter(([, isOnNode]) => isOnNode === hasNode)
      .map(([key]) => key);
  }
}
