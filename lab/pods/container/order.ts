// Start order of a pod's containers. Source: pkg/kubelet/kuberuntime, computeInitContainerActions.
import type { Container } from '../../../control/kube/kinds.ts';
import type { RestartPolicy } from '../status/phase.ts';

/** The state of a container that decides the order. */
export interface Startable {
  spec: Container;
  begun: boolean;
  started: boolean;
  /** Exit code if the container has ended and is not restarted, else null. */
  result: number | null;
}

/** True for an init container that keeps running beside the others. */
export function isSidecar({ restartPolicy }: Container): boolean {
  return restartPolicy === 'Always';
}

/**
 * Restart policy of a container. An init container has to succeed, so it restarts only on failure.
 */
export function policyOf(spec: Container, isInit: boolean, pod: RestartPolicy): RestartPolicy {
  if (isInit && isSidecar(spec)) return 'Always';
  return isInit && pod === 'Always' ? 'OnFailure' : pod;
}

/** Containers to start now: init containers one after the other, then all others. */
export function nextToStart<T extends Startable>(inits: T[], containers: T[]): T[] {
  // Once the others run, a restart of a sidecar does not hold them up.
  if (!containers.some((c) => c.begun)) {
    for (const init of inits) {
      if (!init.begun) return [init];
      if (isSidecar(init.spec) ? !init.started : init.result !== 0) return [];
    }
  }
  return containers.filter((c) => !c.begun);
}

/** True if only sidecars are left. A pod ends with its other containers. */
export function isOver(inits: Startable[], containers: Startable[]): boolean {
  const failed = inits.some((c) => !isSidecar(c.spec) && c.result !== null && c.result !== 0);
  return failed || (containers.length > 0 && containers.every((c) => c.result !== null));
}
