// The order in which the containers of a pod start. pkg/kubelet/kuberuntime:
// computeInitContainerActions.
import type { Container } from '../../../control/kube/kinds.ts';
import type { RestartPolicy } from '../status/phase.ts';

/** What matters of a container. */
export interface Startable {
  spec: Container;
  begun: boolean;
  started: boolean;
  /** Its exit code if it has ended for good, else null. */
  result: number | null;
}

/** An init container that goes on beside the others. */
export function isSidecar({ restartPolicy }: Container): boolean {
  return restartPolicy === 'Always';
}

/** Init containers have to succeed, so they are started again only when they fail. */
export function policyOf(spec: Container, isInit: boolean, pod: RestartPolicy): RestartPolicy {
  if (isInit && isSidecar(spec)) return 'Always';
  return isInit && pod === 'Always' ? 'OnFailure' : pod;
}

/** Those that are to be started now: one init container after the other, then all the others. */
export function nextToStart<T extends Startable>(inits: T[], containers: T[]): T[] {
  // A side-car that starts again later holds nobody up who runs already.
  if (!containers.some((c) => c.begun)) {
    for (const init of inits) {
      if (!init.begun) return [init];
      if (isSidecar(init.spec) ? !init.started : init.result !== 0) return [];
    }
  }
  return containers.filter((c) => !c.begun);
}

/** True once nothing but side-cars is left of a pod: it ends with its containers. */
export function isOver(inits: Startable[], containers: Startable[]): boolean {
  const failed = inits.some((c) => !isSidecar(c.spec) && c.result !== null && c.result !== 0);
  return failed || (containers.length > 0 && containers.every((c) => c.result !== null));
}
